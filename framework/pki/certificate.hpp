// What a certificate says.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "config/address.hpp"
#include "pki/openssl.hpp"

namespace sansock::pki {

/// Who a host is: its name, and the addresses for which its peers let it speak.
struct Names {
    std::string host;
    std::vector<config::Address> addresses;

    [[nodiscard]] bool speaks_for(const config::Address &address) const;
};

struct Description {
    Names names;
    bool is_authority = false;
    int64_t from = 0, until = 0;  ///< Seconds since 1970.
    std::string serial;           ///< In hexadecimal digits.
};

/// Nothing of a text that could not be a name is in it.
[[nodiscard]] Description describe(X509 *certificate);
/// All certificates of a PEM text, of which `what` is the file; at least one.
[[nodiscard]] Result<std::vector<X509Ptr>> certificates_of(const std::string &pem, const std::string &what);
[[nodiscard]] Result<KeyPtr> key_of(const std::string &pem, const std::string &what);
[[nodiscard]] Result<std::vector<CrlPtr>> crls_of(const std::string &pem, const std::string &what);

[[nodiscard]] std::string pem_of(X509 *certificate);
[[nodiscard]] std::string pem_of(X509_CRL *crl);
[[nodiscard]] std::string pem_of(EVP_PKEY *key);

[[nodiscard]] std::string hex_of(const ASN1_INTEGER *number);
[[nodiscard]] int64_t seconds_of(const ASN1_TIME *time);
/// As 2026-11-30T12:00:00Z.
[[nodiscard]] std::string text_of_time(int64_t seconds);
[[nodiscard]] Result<int64_t> parse_time(const std::string &text);

/// A name that a host may have in its certificate, or what is wrong with it.
[[nodiscard]] Result<void> check_host(std::string_view host);
/// An address that a host may speak for, or what is wrong with it: it must mean the same host to all others.
[[nodiscard]] Result<config::Address> check_address(std::string_view text);

}  // namespace sansock::pki
