// A certificate, or a list of revoked ones, that another host shows or a file has: what is told of it is fit for a terminal, and it stays
// the same when it is written and read again.
#include "pki/certificate.hpp"

#include <openssl/pem.h>

#include "fuzz.hpp"

using namespace sansock;

namespace {

bool is_clean(const std::string &text) {
    return std::all_of(text.begin(), text.end(), [](unsigned char one) { return one >= 0x20 && one != 0x7f; });
}

bool is_same(const pki::Description &one, const pki::Description &other) {
    return one.names.host == other.names.host && one.names.addresses == other.names.addresses && one.serial == other.serial &&
           one.is_authority == other.is_authority && one.from == other.from && one.until == other.until;
}

void check(X509 *certificate) {
    const pki::Description said = pki::describe(certificate);
    MUST(is_clean(said.names.host) && said.serial.find_first_not_of("0123456789abcdef-") == std::string::npos);
    for (const config::Address &address : said.names.addresses) {
        MUST(said.names.speaks_for(address) && config::Address::parse(address.text()) == address);
    }
    for (const int64_t time : {said.from, said.until}) MUST(is_clean(pki::text_of_time(time)));
    const auto again = pki::certificates_of(pki::pem_of(certificate), "f");
    MUST(again && again->size() == 1 && is_same(pki::describe(again->front().get()), said));
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz::Input input(data, size);
    const uint32_t how = input.below(32);
    const std::string rest(input.all());
    const auto *bytes = reinterpret_cast<const uint8_t *>(rest.data());
    if (how == 0) {
        if (const auto all = pki::certificates_of(rest, "f")) {
            for (const pki::X509Ptr &one : *all) check(one.get());
        }
        if (const auto time = pki::parse_time(rest)) MUST(pki::text_of_time(*time) == rest);
        if (const auto address = pki::check_address(rest)) MUST(pki::check_address(address->text()));
        (void)pki::check_host(rest);
    } else if (how == 1) {  // which takes OpenSSL long
        if (const auto key = pki::key_of(rest, "f"); !key) MUST(is_clean(key.error().text));
    } else if (how < 8) {
        const pki::CrlPtr list(d2i_X509_CRL(nullptr, &bytes, static_cast<long>(rest.size())));
        if (list) MUST(pki::crls_of(pki::pem_of(list.get()), "f"));
    } else if (const pki::X509Ptr certificate{d2i_X509(nullptr, &bytes, static_cast<long>(rest.size()))}) {
        check(certificate.get());
    }
    return 0;
}
