// What a host shows to others, and whom it believes: ca.pem, host.pem, host.key and, where there is one, crl.pem of a directory.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "pki/certificate.hpp"

namespace sansock::pki {

inline constexpr const char *kHostFile = "host.pem";
inline constexpr const char *kHostKeyFile = "host.key";

/// Whom a handshake has been made with, or why not; and what was wrong with the certificate that it showed, if that was it.
struct Refusal {
    const char *reason = nullptr;  ///< One of kRefusalReasons; nullptr: its certificate was not the matter.
    std::string text;
};
inline constexpr const char *kRefusalReasons[] = {"expired", "early", "foreign", "revoked", "none", "address", "other"};

class Credentials {
public:
    /// Fails when they could not serve anybody: files that cannot be read, do not belong together, or speak for no address. What time or
    /// revocation has made of them are warnings.
    static Result<std::shared_ptr<const Credentials>> load(const std::string &directory);

    /// A side of a TLS connection, that asks the other one for its certificate. What is found wrong with that goes into `refusal`, which
    /// has to outlive it.
    [[nodiscard]] SSL *connection(Refusal &refusal) const;

    [[nodiscard]] const Description &own() const { return own_; }
    /// What is wrong with them at that time; empty: nothing.
    [[nodiscard]] std::string warning(int64_t now) const;

    /// Changes when one of the files has changed.
    [[nodiscard]] static std::string state_of_files(const std::string &directory);

private:
    Credentials() = default;

    ContextPtr context_;
    Description own_;
    bool revoked_ = false;
};

/// The reason why somebody says, in an alert, that it does not like our certificate; nullptr: this is about something else.
[[nodiscard]] const char *reason_of_alert(unsigned long error);

}  // namespace sansock::pki
