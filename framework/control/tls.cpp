#include "control/tls.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace sansock::control {
namespace {

/// False: it is too late.
bool wait_for(int fd, short events, Tls::Deadline deadline) {
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Tls::Clock::now()).count();
        if (left <= 0) return false;
        pollfd one{fd, events, 0};
        const int count = poll(&one, 1, static_cast<int>(std::min<int64_t>(left, 60'000)));
        if (count > 0 || (count < 0 && errno != EINTR)) return true;  // whatever it is, the next call tells
    }
}

}  // namespace

Tls::Tls(UniqueFd socket, Identity::Credentials credentials) : socket_(std::move(socket)), credentials_(std::move(credentials)) {}

Tls::~Tls() {
    if (ssl_ && !broken_) SSL_shutdown(ssl_.get());  // says that this is the end, if that can be said at once
    ERR_clear_error();
}

Tls::Failure Tls::failure(int error) {
    broken_ = error == SSL_ERROR_SYSCALL || error == SSL_ERROR_SSL;
    const int code = errno;
    if (error == SSL_ERROR_ZERO_RETURN) return {.text = "the other one has ended the connection"};
    if (error == SSL_ERROR_SYSCALL) return {.text = code == 0 ? "the other one has ended the connection" : std::strerror(code)};
    const unsigned long first = ERR_peek_error();
    if (ERR_GET_REASON(first) == SSL_R_UNEXPECTED_EOF_WHILE_READING && ERR_GET_LIB(first) == ERR_LIB_SSL) {
        ERR_clear_error();
        return {.text = "the other one has ended the connection"};
    }
    Failure failed{.what = Failure::kRubbish, .text = pki::openssl_error()};
    if (const char *reason = pki::reason_of_alert(first))
        return {.what = Failure::kCertificate, .ours = true, .reason = reason, .text = failed.text};
    if (refusal_.reason != nullptr) return {.what = Failure::kCertificate, .reason = refusal_.reason, .text = refusal_.text};
    if (ERR_GET_LIB(first) == ERR_LIB_SSL && ERR_GET_REASON(first) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
        return {.what = Failure::kCertificate, .reason = "none", .text = "it shows no certificate"};
    return failed;
}

/// A call of OpenSSL, again and again until it has done what it can do without waiting.
template <class Call>
Tls::Outcome<size_t> Tls::complete(Deadline deadline, Call call) {
    for (;;) {
        ERR_clear_error();
        errno = 0;
        size_t done = 0;
        const int outcome = call(done);
        if (outcome == 1) return done;
        const int error = SSL_get_error(ssl_.get(), outcome);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return std::unexpected(failure(error));
        if (!wait_for(socket_.get(), error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline))
            return std::unexpected(Failure{.what = Failure::kLate, .text = "the other one takes too long"});
    }
}

/// What has been sent and not read would make the kernel reset the connection, and the other one miss the reason.
void Tls::close_late() {
    constexpr auto kLate = std::chrono::milliseconds(200);
    shutdown(socket_.get(), SHUT_WR);
    std::array<char, 4096> bytes{};
    size_t all = 0;
    for (const Deadline until = Clock::now() + kLate; all < kFrameMax && wait_for(socket_.get(), POLLIN, until);) {
        const ssize_t got = recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (got <= 0) return;
        all += static_cast<size_t>(got);
    }
}

Tls::Outcome<std::unique_ptr<Tls>> Tls::begin(UniqueFd socket, Identity::Credentials credentials, const config::Address *host,
                                              Deadline deadline) {
    std::unique_ptr<Tls> tls(new Tls(std::move(socket), std::move(credentials)));
    tls->ssl_.reset(tls->credentials_->connection(tls->refusal_));
    if (!tls->ssl_ || SSL_set_fd(tls->ssl_.get(), tls->socket_.get()) != 1)
        return std::unexpected(Failure{.what = Failure::kRubbish, .text = pki::openssl_error()});
    if (host != nullptr &&
        X509_VERIFY_PARAM_set1_ip(SSL_get0_param(tls->ssl_.get()), host->bytes.data(), static_cast<size_t>(host->bits()) / 8) != 1)
        return std::unexpected(Failure{.what = Failure::kRubbish, .text = pki::openssl_error()});
    SSL_clear_mode(tls->ssl_.get(), SSL_MODE_AUTO_RETRY);  // between any two records the time is looked at
    const auto shaken =
        tls->complete(deadline, [&](size_t &) { return host == nullptr ? SSL_accept(tls->ssl_.get()) : SSL_connect(tls->ssl_.get()); });
    if (!shaken) {
        tls->broken_ = true;
        if (shaken.error().what == Failure::kCertificate && !shaken.error().ours) tls->close_late();
        return std::unexpected(shaken.error());
    }
    const pki::X509Ptr certificate(SSL_get1_peer_certificate(tls->ssl_.get()));
    if (!certificate) return std::unexpected(Failure{.what = Failure::kCertificate, .reason = "none", .text = "it shows no certificate"});
    tls->peer_ = pki::describe(certificate.get());
    return tls;
}

Tls::Outcome<std::unique_ptr<Tls>> Tls::answer(UniqueFd socket, Identity::Credentials credentials, Deadline deadline) {
    return begin(std::move(socket), std::move(credentials), nullptr, deadline);
}

Tls::Outcome<std::unique_ptr<Tls>> Tls::call(UniqueFd socket, Identity::Credentials credentials, const config::Address &host,
                                             Deadline deadline) {
    return begin(std::move(socket), std::move(credentials), &host, deadline);
}

Tls::Outcome<void> Tls::read_all(char *to, size_t size, Deadline deadline) {
    for (size_t have = 0; have < size;) {
        const auto got = complete(deadline, [&](size_t &done) { return SSL_read_ex(ssl_.get(), to + have, size - have, &done); });
        if (!got) return std::unexpected(got.error());
        have += *got;
    }
    return {};
}

Tls::Outcome<std::string> Tls::read_frame(Deadline begins, Clock::duration within) {
    uint32_t size = 0;
    auto *const head = reinterpret_cast<char *>(&size);
    const auto first = complete(begins, [&](size_t &done) { return SSL_read_ex(ssl_.get(), head, sizeof size, &done); });
    if (!first) {
        Failure failed = first.error();
        if (failed.what == Failure::kLate) failed.what = Failure::kIdle;
        return std::unexpected(std::move(failed));
    }
    const Deadline deadline = Clock::now() + within;
    if (const auto rest = read_all(head + *first, sizeof size - *first, deadline); !rest) return std::unexpected(rest.error());
    size = ntohl(size);
    if (size == 0 || size > kFrameMax)
        return std::unexpected(
            Failure{.what = Failure::kRubbish, .text = "it sends a frame of " + std::to_string(size) + " bytes; allowed: 1 to 65536"});
    std::string bytes(size, '\0');
    if (const auto rest = read_all(bytes.data(), size, deadline); !rest) return std::unexpected(rest.error());
    return bytes;
}

Tls::Outcome<void> Tls::write_frame(const std::string &bytes, Deadline deadline) {
    const uint32_t size = htonl(static_cast<uint32_t>(bytes.size()));
    std::string all(reinterpret_cast<const char *>(&size), sizeof size);
    all += bytes;
    for (size_t done = 0; done < all.size();) {
        const auto wrote =
            complete(deadline, [&](size_t &of) { return SSL_write_ex(ssl_.get(), all.data() + done, all.size() - done, &of); });
        if (!wrote) return std::unexpected(wrote.error());
        done += *wrote;
    }
    return {};
}

}  // namespace sansock::control
