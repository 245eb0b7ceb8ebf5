// One TLS connection between two daemons, over which frames go. Every call ends at its deadline.
#pragma once
#include <chrono>
#include <expected>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "control/identity.hpp"

namespace sansock::control {

class Tls {
public:
    using Clock = std::chrono::steady_clock;
    using Deadline = Clock::time_point;

    struct Failure {
        enum What { kEnd, kIdle, kLate, kCertificate, kRubbish } what = kEnd;  ///< kIdle: late, but nothing had begun.
        bool ours = false;                                                     ///< kCertificate: the other one does not like ours.
        const char *reason = nullptr;                                          ///< kCertificate: one of pki::kRefusalReasons.
        std::string text;
    };
    template <class T>
    using Outcome = std::expected<T, Failure>;

    static constexpr size_t kFrameMax = 65536;

    /// A handshake over a connected socket: with whoever has come, or with the host that has been called, whose certificate has to name its
    /// address.
    static Outcome<std::unique_ptr<Tls>> answer(UniqueFd socket, Identity::Credentials credentials, Deadline deadline);
    static Outcome<std::unique_ptr<Tls>> call(UniqueFd socket, Identity::Credentials credentials, const config::Address &host,
                                              Deadline deadline);
    ~Tls();

    /// The next frame, which has to begin by `begins` and then to be whole `within`.
    Outcome<std::string> read_frame(Deadline begins, Clock::duration within);
    Outcome<void> write_frame(const std::string &bytes, Deadline deadline);

    [[nodiscard]] const pki::Description &peer() const { return peer_; }
    [[nodiscard]] const Identity::Credentials &credentials() const { return credentials_; }

private:
    Tls(UniqueFd socket, Identity::Credentials credentials);
    static Outcome<std::unique_ptr<Tls>> begin(UniqueFd socket, Identity::Credentials credentials, const config::Address *host,
                                               Deadline deadline);
    template <class Call>
    Outcome<size_t> complete(Deadline deadline, Call call);
    Outcome<void> read_all(char *to, size_t size, Deadline deadline);
    Failure failure(int error);
    void close_late();

    UniqueFd socket_;
    Identity::Credentials credentials_;
    pki::Refusal refusal_;
    std::unique_ptr<SSL, pki::GiveBack<SSL_free>> ssl_;
    pki::Description peer_;
    bool broken_ = false;
};

}  // namespace sansock::control
