#include "pki/certificate.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "base/printable.hpp"

namespace sansock::pki {
namespace {

std::string common_name(X509 *certificate) {
    const X509_NAME *subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return {};
    unsigned char *bytes = nullptr;
    const int size = ASN1_STRING_to_UTF8(&bytes, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size < 0) return {};
    const std::string name(reinterpret_cast<const char *>(bytes), static_cast<size_t>(size));
    OPENSSL_free(bytes);
    return printable(name);
}

/// Whatever of this kind the text has, one after the other.
template <class Pointer, class Read>
std::vector<Pointer> all_of(const std::string &pem, Read read) {
    std::vector<Pointer> all;
    const BioPtr bio = reader_of(pem);
    while (auto *one = bio ? read(bio.get(), nullptr, nullptr, nullptr) : nullptr) all.emplace_back(one);
    ERR_clear_error();  // the text has an end
    return all;
}

template <class Write>
std::string written(Write write) {
    const BioPtr bio(BIO_new(BIO_s_mem()));
    return bio && write(bio.get()) == 1 ? text_of(bio.get()) : std::string();
}

/// A key with a passphrase is no key for a daemon: nobody is asked.
int no_passphrase(char *, int, int, void *) { return -1; }

}  // namespace

bool Names::speaks_for(const config::Address &address) const { return std::ranges::find(addresses, address) != addresses.end(); }

Description describe(X509 *certificate) {
    Description description;
    description.names.host = common_name(certificate);
    description.is_authority = X509_check_ca(certificate) != 0;
    description.from = seconds_of(X509_get0_notBefore(certificate));
    description.until = seconds_of(X509_get0_notAfter(certificate));
    description.serial = hex_of(X509_get0_serialNumber(certificate));
    const NamesPtr names(static_cast<GENERAL_NAMES *>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); ++i) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names.get(), i);
        if (name->type != GEN_IPADD) continue;
        const int size = ASN1_STRING_length(name->d.iPAddress);
        if (size != 4 && size != 16) continue;
        config::Address address{.is_v6 = size == 16};
        std::memcpy(address.bytes.data(), ASN1_STRING_get0_data(name->d.iPAddress), static_cast<size_t>(size));
        if (const auto plain = config::Address::parse(address.text())) description.names.addresses.push_back(*plain);
    }
    return description;
}

Result<std::vector<X509Ptr>> certificates_of(const std::string &pem, const std::string &what) {
    auto all = all_of<X509Ptr>(pem, PEM_read_bio_X509);
    if (all.empty()) return fail(EPROTO, fmt::format("{} has no certificate; allowed: PEM, as `sansock pki` writes it", what));
    return all;
}

Result<std::vector<CrlPtr>> crls_of(const std::string &pem, const std::string &what) {
    auto all = all_of<CrlPtr>(pem, PEM_read_bio_X509_CRL);
    if (all.empty())
        return fail(EPROTO, fmt::format("{} has no list of revoked certificates; allowed: PEM, as `sansock pki revoke` writes it", what));
    return all;
}

Result<KeyPtr> key_of(const std::string &pem, const std::string &what) {
    const BioPtr bio = reader_of(pem);
    KeyPtr key(bio ? PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr) : nullptr);
    if (!key)
        return fail(EPROTO,
                    fmt::format("{} has no private key that can be read ({}); allowed: PEM without a passphrase", what, openssl_error()));
    return key;
}

std::string pem_of(X509 *certificate) {
    return written([&](BIO *to) { return PEM_write_bio_X509(to, certificate); });
}
std::string pem_of(X509_CRL *crl) {
    return written([&](BIO *to) { return PEM_write_bio_X509_CRL(to, crl); });
}
std::string pem_of(EVP_PKEY *key) {
    return written([&](BIO *to) { return PEM_write_bio_PKCS8PrivateKey(to, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

std::string hex_of(const ASN1_INTEGER *number) {
    const BignumPtr big(ASN1_INTEGER_to_BN(number, nullptr));
    char *text = big ? BN_bn2hex(big.get()) : nullptr;
    std::string hex = text == nullptr ? "" : text;
    OPENSSL_free(text);
    std::ranges::transform(hex, hex.begin(), [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
    return hex;
}

int64_t seconds_of(const ASN1_TIME *time) {
    tm parts{};
    return ASN1_TIME_to_tm(time, &parts) == 1 ? timegm(&parts) : 0;
}

std::string text_of_time(int64_t seconds) {
    const time_t when = seconds;
    tm parts{};
    char text[32] = {};
    if (gmtime_r(&when, &parts) == nullptr || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) return "?";
    return text;
}

Result<int64_t> parse_time(const std::string &text) {
    tm parts{};
    const char *const end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end == nullptr || *end != '\0' || text_of_time(timegm(&parts)) != text)
        return fail(EINVAL, fmt::format("\"{}\" is no time; allowed: as 2026-11-30T12:00:00Z", printable(text.substr(0, 60))));
    return timegm(&parts);
}

Result<void> check_host(std::string_view host) {
    const auto is_of_name = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    };
    constexpr size_t kHostMax = 63;
    if (!host.empty() && host.size() <= kHostMax && std::ranges::all_of(host, is_of_name) && host.front() != '-' && host.front() != '.')
        return {};
    return fail(EINVAL, fmt::format("\"{}\" is no name of a host; allowed: letters, digits, - and ., {} at most, a letter or digit first",
                                    printable(host.substr(0, 80)), kHostMax));
}

Result<config::Address> check_address(std::string_view text) {
    const auto address = config::Address::parse(text);
    if (!address)
        return fail(EINVAL, fmt::format("\"{}\" is no IP address; allowed: as 10.0.0.5 or fd00::5, without a prefix or a port",
                                        printable(text.substr(0, 80))));
    static constexpr struct {
        const char *subnet, *what;
    } kRefused[] = {{"0.0.0.0/8", "no host's address"},
                    {"127.0.0.0/8", "every host's own"},
                    {"169.254.0.0/16", "another host's on another link"},
                    {"224.0.0.0/3", "no host's address"},
                    {"::/128", "no host's address"},
                    {"::1/128", "every host's own"},
                    {"fe80::/10", "another host's on another link"},
                    {"ff00::/8", "no host's address"}};
    for (const auto &[subnet, what] : kRefused) {
        if (config::Subnet::parse(subnet)->contains(*address))
            return fail(EINVAL, fmt::format("{} is {}: no host can speak for it; allowed: addresses by which other hosts reach it",
                                            address->text(), what));
    }
    return *address;
}

}  // namespace sansock::pki
