// The samples' network on plain POSIX sockets. Nothing here knows sansock: under `sansock run` its connections move all
// the same.
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/network.hpp"
#include "common/socket.hpp"

namespace samples {
namespace {

bool would_block() { return errno == EAGAIN || errno == EINTR; }

class PosixConnection final : public Connection {
public:
    explicit PosixConnection(Socket socket) : socket_(std::move(socket)) { send_without_delay(socket_); }

    void send_all(std::span<const std::byte> bytes) override {
        while (!bytes.empty()) {
            const ssize_t sent = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR) continue;
            if (sent < 0) throw_errno("send");
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        }
    }

    std::size_t receive(std::span<std::byte> bytes) override {
        for (;;) {
            const ssize_t received = ::recv(socket_.fd(), bytes.data(), bytes.size(), 0);
            if (received >= 0) return static_cast<std::size_t>(received);
            if (errno != EINTR) throw_errno("receive");
        }
    }

    std::optional<std::size_t> try_send(std::span<const std::byte> bytes) override {
        const ssize_t sent = ::send(socket_.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && would_block()) return std::nullopt;
        if (sent < 0) throw_errno("send");
        return static_cast<std::size_t>(sent);
    }

    std::optional<std::size_t> try_receive(std::span<std::byte> bytes) override {
        const ssize_t received = ::recv(socket_.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (received < 0 && would_block()) return std::nullopt;
        if (received < 0) throw_errno("receive");
        return static_cast<std::size_t>(received);
    }

    Ready wait(bool or_send) override {
        pollfd wanted{socket_.fd(), POLLIN, 0};
        if (or_send) wanted.events |= POLLOUT;
        if (::poll(&wanted, 1, -1) < 0 && errno != EINTR) throw_errno("poll");
        return {(wanted.revents & POLLOUT) != 0, (wanted.revents & ~POLLOUT) != 0};
    }

    void stop() override { ::shutdown(socket_.fd(), SHUT_RDWR); }

private:
    Socket socket_;
};

class PosixListener final : public Listener {
public:
    explicit PosixListener(Socket socket) : socket_(std::move(socket)) {}

    std::unique_ptr<Connection> accept() override {
        Socket socket(::accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
        if (socket.fd() >= 0) return std::make_unique<PosixConnection>(std::move(socket));
        if (errno != EINTR && errno != ECONNABORTED) throw_errno("accept");
        return nullptr;
    }
    [[nodiscard]] std::uint16_t port() const override { return local_port(socket_); }
    [[nodiscard]] int descriptor() const override { return socket_.fd(); }

private:
    Socket socket_;
};

}  // namespace

std::unique_ptr<Connection> connect_to(const std::string &host, std::uint16_t port) {
    return std::make_unique<PosixConnection>(connect_socket(host, port));
}

std::unique_ptr<Listener> listen_on(const std::string &host, std::uint16_t port) {
    return std::make_unique<PosixListener>(listen_socket(host, port));
}

}  // namespace samples
