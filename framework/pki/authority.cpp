#include "pki/authority.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/printable.hpp"
#include "pki/files.hpp"

namespace sansock::pki {
namespace {

constexpr int64_t kDay = 86'400;
constexpr int kDaysOfHost = 365;
constexpr size_t kAddressesMax = 256;
/// Clocks of hosts differ: what is made now is valid for those that are late, too.
constexpr int64_t kEarlier = 3'600;
/// A clock before this is not set: when this was written.
constexpr int64_t kClockMin = 1'735'689'600;  // 2025-01-01

Result<int64_t> now() {
    const int64_t seconds = time(nullptr);
    if (seconds >= kClockMin) return seconds;
    return fail(EINVAL, fmt::format("the clock of this machine says {}; certificates that it makes would be valid for no one: set it first",
                                    text_of_time(seconds)));
}

Result<void> check_days(int days) {
    if (days >= 1 && days <= kDaysMax) return {};
    return fail(EINVAL, fmt::format("{} days are out of range; allowed: 1 to {}", days, kDaysMax));
}

std::unexpected<Error> failed(const char *what) { return fail(EPROTO, fmt::format("cannot {}: {}", what, openssl_error())); }

bool extend(X509 *certificate, X509 *issuer, int nid, const std::string &value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
    X509V3_set_ctx_nodb(&context);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
    const bool done = extension != nullptr && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return done;
}

bool set_serial(X509 *certificate) {
    std::array<unsigned char, 16> bytes{};
    if (RAND_bytes(bytes.data(), bytes.size()) != 1) return false;
    bytes[0] = (bytes[0] & 0x3f) | 0x40;  // positive, and as long as any other
    const BignumPtr number(BN_bin2bn(bytes.data(), bytes.size(), nullptr));
    return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

/// All but the extensions and the signature.
Result<X509Ptr> begin(const std::string &name, EVP_PKEY *key, X509 *issuer, int64_t from, int64_t until) {
    X509Ptr made(X509_new());
    if (!made || X509_set_version(made.get(), X509_VERSION_3) != 1 || !set_serial(made.get()) || X509_set_pubkey(made.get(), key) != 1 ||
        ASN1_TIME_adj(X509_getm_notBefore(made.get()), from, 0, 0) == nullptr ||
        ASN1_TIME_adj(X509_getm_notAfter(made.get()), until, 0, 0) == nullptr ||
        X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char *>(name.data()), static_cast<int>(name.size()), -1, 0) != 1 ||
        X509_set_issuer_name(made.get(), X509_get_subject_name(issuer == nullptr ? made.get() : issuer)) != 1)
        return failed("make a certificate");
    return made;
}

std::string alternative_names(const Names &names) {
    std::string all = "DNS:" + names.host;
    for (const config::Address &address : names.addresses) all += ",IP:" + address.text();
    return all;
}

/// What a certificate that an authority makes is valid for, which ends no later than the authority.
Result<void> find_period(const Period &asked, const Description &authority, int64_t &from, int64_t &until, bool &is_cut) {
    const auto today = now();
    if (!today) return std::unexpected(today.error());
    if (*today < authority.from)
        return fail(EINVAL, fmt::format("this authority is valid from {} on, and the clock of this machine says {}: set the clock",
                                        text_of_time(authority.from), text_of_time(*today)));
    if (*today >= authority.until)
        return fail(EINVAL, fmt::format("this authority was valid until {}; make another one in another directory (sansock pki init)",
                                        text_of_time(authority.until)));
    if (asked.days) {
        if (const auto right = check_days(*asked.days); !right) return right;
    }
    from = asked.from.value_or(std::max(*today - kEarlier, authority.from));
    until = asked.until.value_or(*today + asked.days.value_or(kDaysOfHost) * kDay);
    if (from >= until)
        return fail(EINVAL, fmt::format("a certificate from {} until {} would never be valid", text_of_time(from), text_of_time(until)));
    if (until <= authority.until) return {};
    if (asked.days || asked.until)
        return fail(EINVAL, fmt::format("a certificate until {} would outlive its authority, which is valid until {}; allowed: {} days",
                                        text_of_time(until), text_of_time(authority.until), (authority.until - *today) / kDay));
    until = authority.until;
    is_cut = true;
    return {};
}

Result<BignumPtr> number_of(const std::string &serial) {
    constexpr size_t kDigitsMax = 40;  // RFC 5280: 20 bytes
    std::string digits;
    std::ranges::copy_if(serial, std::back_inserter(digits), [](char c) { return c != ':'; });
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); };
    BIGNUM *number = nullptr;
    if (digits.empty() || digits.size() > kDigitsMax || !std::ranges::all_of(digits, is_digit) || BN_hex2bn(&number, digits.c_str()) == 0)
        return fail(EINVAL, fmt::format("\"{}\" is neither a file nor a serial; allowed: the file of a certificate, or the digits that "
                                        "`sansock pki show` prints",
                                        printable(serial.substr(0, 80))));
    return BignumPtr(number);
}

/// Whose list it is: there may be another authority of that name.
bool name_key(X509_CRL *list, X509 *authority) {
    for (int at = 0; (at = X509_CRL_get_ext_by_NID(list, NID_authority_key_identifier, -1)) >= 0;)
        X509_EXTENSION_free(X509_CRL_delete_ext(list, at));
    X509V3_CTX context;
    X509V3_set_ctx(&context, authority, nullptr, nullptr, list, 0);
    X509V3_set_ctx_nodb(&context);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(nullptr, &context, NID_authority_key_identifier, "keyid:always");
    const bool done = extension != nullptr && X509_CRL_add_ext(list, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return done;
}

/// `before` with one more.
Result<CrlPtr> longer_list(CrlPtr before, const BIGNUM *serial, X509 *authority, EVP_PKEY *key, int64_t today) {
    CrlPtr list = before ? std::move(before) : CrlPtr(X509_CRL_new());
    const IntegerPtr number(static_cast<ASN1_INTEGER *>(X509_CRL_get_ext_d2i(list.get(), NID_crl_number, nullptr, nullptr)));
    const IntegerPtr next(ASN1_INTEGER_new()), revoked(BN_to_ASN1_INTEGER(serial, nullptr));
    // Late clocks must know it already; and it holds until there is another one.
    const TimePtr from(ASN1_TIME_adj(nullptr, today - kEarlier, 0, 0)), when(ASN1_TIME_adj(nullptr, today, 0, 0));
    if (!next || ASN1_INTEGER_set_int64(next.get(), number ? ASN1_INTEGER_get(number.get()) + 1 : 1) != 1 || !revoked || !from || !when ||
        X509_CRL_set_version(list.get(), X509_CRL_VERSION_2) != 1 ||
        X509_CRL_set_issuer_name(list.get(), X509_get_subject_name(authority)) != 1 ||
        X509_CRL_set1_lastUpdate(list.get(), from.get()) != 1 || X509_CRL_set1_nextUpdate(list.get(), X509_get0_notAfter(authority)) != 1 ||
        X509_CRL_add1_ext_i2d(list.get(), NID_crl_number, next.get(), 0, X509V3_ADD_REPLACE) != 1 || !name_key(list.get(), authority))
        return failed("make a list of revoked certificates");
    X509_REVOKED *entry = X509_REVOKED_new();
    if (entry == nullptr || X509_REVOKED_set_serialNumber(entry, revoked.get()) != 1 ||
        X509_REVOKED_set_revocationDate(entry, when.get()) != 1 || X509_CRL_add0_revoked(list.get(), entry) != 1) {
        X509_REVOKED_free(entry);
        return failed("make a list of revoked certificates");
    }
    if (X509_CRL_sort(list.get()) != 1 || X509_CRL_sign(list.get(), key, EVP_sha256()) == 0)
        return failed("sign a list of revoked certificates");
    return list;
}

}  // namespace

Result<Description> Authority::make(const std::string &directory, const std::string &name, int days) {
    constexpr size_t kNameMax = 64;  // X.520
    if (name.empty() || name.size() > kNameMax || printable(name) != name)
        return fail(EINVAL, fmt::format("\"{}\" is no name for an authority; allowed: 1 to {} bytes of text", printable(name.substr(0, 80)),
                                        kNameMax));
    if (const auto right = check_days(days); !right) return std::unexpected(right.error());
    const auto today = now();
    if (!today) return std::unexpected(today.error());
    const KeyPtr key(EVP_EC_gen("P-256"));
    if (!key) return failed("make a key");
    auto made = begin(name, key.get(), nullptr, *today - kEarlier, *today + days * kDay);
    if (!made) return std::unexpected(made.error());
    X509 *const x509 = made->get();
    if (!extend(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !extend(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign") || !extend(x509, x509, NID_subject_key_identifier, "hash") ||
        X509_sign(x509, key.get(), EVP_sha256()) == 0)
        return failed("make a certificate");
    if (const auto directory_made = make_directory(directory); !directory_made) return std::unexpected(directory_made.error());
    const auto written = write_files(
        {{directory + "/" + kAuthorityKeyFile, pem_of(key.get()), kSecretMode}, {directory + "/" + kAuthorityFile, pem_of(x509)}},
        Existing::kRefuse);
    if (!written) return std::unexpected(written.error());
    return describe(x509);
}

Result<Authority> Authority::open(const std::string &directory) {
    const std::string file = directory + "/" + kAuthorityFile, key_file = directory + "/" + kAuthorityKeyFile;
    if (access(file.c_str(), F_OK) != 0 && errno == ENOENT)
        return fail(ENOENT, fmt::format("there is no authority in {}; make one with `sansock pki init {}`", directory, directory));
    auto pem = read_file(file);
    if (!pem) return std::unexpected(pem.error());
    auto certificates = certificates_of(*pem, file);
    if (!certificates) return std::unexpected(certificates.error());
    const auto key_pem = read_file(key_file, true);
    if (!key_pem) return std::unexpected(key_pem.error());
    auto key = key_of(*key_pem, key_file);
    if (!key) return std::unexpected(key.error());
    X509Ptr certificate = std::move(certificates->front());
    if (X509_check_private_key(certificate.get(), key->get()) != 1)
        return fail(EINVAL, fmt::format("{} is not the key of {}; the two belong together", key_file, file));
    if (!describe(certificate.get()).is_authority)
        return fail(EINVAL, fmt::format("{} is no authority's certificate; allowed: one that `sansock pki init` has made", file));
    return Authority(directory, std::move(*pem), std::move(certificate), std::move(*key));
}

Result<Issued> Authority::issue(const Names &names, const Period &period) const {
    if (const auto right = check_host(names.host); !right) return std::unexpected(right.error());
    if (names.addresses.empty() || names.addresses.size() > kAddressesMax)
        return fail(EINVAL, fmt::format("{} addresses; allowed: 1 to {}, all by which other hosts reach {}", names.addresses.size(),
                                        kAddressesMax, names.host));
    for (const config::Address &address : names.addresses) {
        if (const auto right = check_address(address.text()); !right) return std::unexpected(right.error());
    }
    int64_t from = 0, until = 0;
    Issued issued;
    if (const auto found = find_period(period, describe(certificate_.get()), from, until, issued.is_cut); !found)
        return std::unexpected(found.error());
    const KeyPtr key(EVP_EC_gen("P-256"));
    if (!key) return failed("make a key");
    auto made = begin(names.host, key.get(), certificate_.get(), from, until);
    if (!made) return std::unexpected(made.error());
    X509 *const x509 = made->get();
    if (!extend(x509, certificate_.get(), NID_basic_constraints, "critical,CA:FALSE") ||
        !extend(x509, certificate_.get(), NID_key_usage, "critical,digitalSignature") ||
        !extend(x509, certificate_.get(), NID_ext_key_usage, "serverAuth,clientAuth") ||
        !extend(x509, certificate_.get(), NID_subject_alt_name, alternative_names(names)) ||
        !extend(x509, certificate_.get(), NID_subject_key_identifier, "hash") ||
        !extend(x509, certificate_.get(), NID_authority_key_identifier, "keyid:always") || X509_sign(x509, key_.get(), EVP_sha256()) == 0)
        return failed("make a certificate");
    issued.certificate = pem_of(x509);
    issued.key = pem_of(key.get());
    issued.description = describe(x509);
    return issued;
}

bool Authority::has_issued(X509 *certificate) const {
    const bool is_own = X509_check_issued(certificate_.get(), certificate) == X509_V_OK && X509_verify(certificate, key_.get()) == 1;
    ERR_clear_error();
    return is_own;
}

Result<CrlPtr> Authority::revoked() const {
    const std::string path = file(kRevokedFile);
    if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) return CrlPtr();
    const auto pem = read_file(path);
    if (!pem) return std::unexpected(pem.error());
    auto lists = crls_of(*pem, path);
    if (!lists) return std::unexpected(lists.error());
    if (X509_CRL_verify(lists->front().get(), key_.get()) != 1) {
        ERR_clear_error();
        return fail(EPROTO, fmt::format("{} is not of this authority: move it away", path));
    }
    return std::move(lists->front());
}

Result<bool> Authority::is_revoked(const std::string &serial) const {
    const auto list = revoked();
    if (!list) return std::unexpected(list.error());
    const auto number = number_of(serial);
    if (!number) return std::unexpected(number.error());
    const IntegerPtr integer(BN_to_ASN1_INTEGER(number->get(), nullptr));
    X509_REVOKED *found = nullptr;
    return *list && X509_CRL_get0_by_serial(list->get(), &found, integer.get()) == 1;
}

Result<bool> Authority::revoke(const std::string &serial) const {
    const auto number = number_of(serial);
    if (!number) return std::unexpected(number.error());
    const auto before = is_revoked(serial);
    if (!before) return std::unexpected(before.error());
    if (*before) return false;
    const auto today = now();
    if (!today) return std::unexpected(today.error());
    auto list = revoked();
    if (!list) return std::unexpected(list.error());
    const auto longer = longer_list(std::move(*list), number->get(), certificate_.get(), key_.get(), *today);
    if (!longer) return std::unexpected(longer.error());
    const auto written = write_files({{file(kRevokedFile), pem_of(longer->get())}}, Existing::kReplace);
    if (!written) return std::unexpected(written.error());
    return true;
}

}  // namespace sansock::pki
