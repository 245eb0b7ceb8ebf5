// A fleet's own certificate authority: a directory with ca.pem, ca.key and, once something is revoked, crl.pem.
#pragma once
#include <optional>
#include <string>

#include "base/result.hpp"
#include "pki/certificate.hpp"

namespace sansock::pki {

inline constexpr const char *kAuthorityFile = "ca.pem";
inline constexpr const char *kAuthorityKeyFile = "ca.key";
inline constexpr const char *kRevokedFile = "crl.pem";

inline constexpr int kDaysMax = 36500;

/// From when until when something is valid. What is not said is found: from now on, and for a while.
struct Period {
    std::optional<int> days;
    std::optional<int64_t> from, until;
};

struct Issued {
    std::string certificate, key;  ///< As PEM.
    Description description;
    bool is_cut = false;  ///< It ends with the authority's own certificate, earlier than it would.
};

class Authority {
public:
    /// Makes one in `directory`, which may not exist yet; refuses where there is one.
    static Result<Description> make(const std::string &directory, const std::string &name, int days);
    static Result<Authority> open(const std::string &directory);

    /// A new key, and a certificate for these names.
    [[nodiscard]] Result<Issued> issue(const Names &names, const Period &period) const;
    /// Whether this authority has made it.
    [[nodiscard]] bool has_issued(X509 *certificate) const;
    /// False: it was revoked before. Serials are in hexadecimal digits.
    [[nodiscard]] Result<bool> revoke(const std::string &serial) const;
    [[nodiscard]] Result<bool> is_revoked(const std::string &serial) const;

    [[nodiscard]] const std::string &pem() const { return pem_; }
    [[nodiscard]] std::string file(const char *name) const { return directory_ + "/" + name; }

private:
    Authority(std::string directory, std::string pem, X509Ptr certificate, KeyPtr key)
        : directory_(std::move(directory)), pem_(std::move(pem)), certificate_(std::move(certificate)), key_(std::move(key)) {}
    /// Empty: nothing is revoked.
    [[nodiscard]] Result<CrlPtr> revoked() const;

    std::string directory_, pem_;
    X509Ptr certificate_;
    KeyPtr key_;
};

}  // namespace sansock::pki
