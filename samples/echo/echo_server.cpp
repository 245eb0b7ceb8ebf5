// Sends back what it receives. One thread serves all connections with level-triggered epoll; a connection whose peer
// does not read is not read from either, so that nobody can make the server keep more than one buffer.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "common/server.hpp"
#include "common/socket.hpp"

namespace {

using samples::Socket;
using samples::throw_errno;

constexpr std::size_t kBufferSize = 64 * 1024;

bool would_block() { return errno == EAGAIN || errno == EINTR; }

class Connection {
public:
    explicit Connection(Socket socket) : socket_(std::move(socket)) {}

    /// Moves what can be moved now. False once the connection is finished.
    bool serve() {
        if (!waiting() && !receive()) return false;
        return send();
    }

    /// What epoll should wait for next.
    [[nodiscard]] std::uint32_t interest() const { return waiting() ? EPOLLOUT : EPOLLIN; }

private:
    [[nodiscard]] bool waiting() const { return !unsent_.empty(); }

    bool receive() {
        const ssize_t size = ::recv(socket_.fd(), buffer_.data(), buffer_.size(), 0);
        if (size < 0) return would_block();
        unsent_ = std::span(buffer_).first(static_cast<std::size_t>(size));
        return size > 0;
    }

    bool send() {
        if (!waiting()) return true;
        const ssize_t size = ::send(socket_.fd(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL);
        if (size < 0) return would_block();
        unsent_ = unsent_.subspan(static_cast<std::size_t>(size));
        return true;
    }

    Socket socket_;
    std::array<std::byte, kBufferSize> buffer_;
    std::span<std::byte> unsent_;
};

class EchoServer {
public:
    EchoServer(const Socket &listener, const Socket &stop) : listener_(listener), stop_(stop) {
        if (epoll_.fd() < 0) throw_errno("epoll_create1");
        watch(EPOLL_CTL_ADD, listener_.fd(), EPOLLIN);
        watch(EPOLL_CTL_ADD, stop_.fd(), EPOLLIN);
    }

    void run() {
        std::array<epoll_event, 64> events;
        for (;;) {
            const int count = ::epoll_wait(epoll_.fd(), events.data(), static_cast<int>(events.size()), -1);
            if (count < 0 && errno != EINTR) throw_errno("epoll_wait");
            for (int i = 0; i < count; ++i) {
                const int fd = events[static_cast<std::size_t>(i)].data.fd;
                if (fd == stop_.fd()) return;
                if (fd == listener_.fd()) {
                    accept();
                } else {
                    serve(fd);
                }
            }
        }
    }

private:
    void watch(int operation, int fd, std::uint32_t interest) {
        epoll_event event{};
        event.events = interest;
        event.data.fd = fd;
        if (::epoll_ctl(epoll_.fd(), operation, fd, &event) != 0) throw_errno("epoll_ctl");
    }

    void accept() {
        Socket socket(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (socket.fd() < 0) {
            if (would_block() || errno == ECONNABORTED) return;
            throw_errno("accept");
        }
        samples::send_without_delay(socket);
        const int fd = socket.fd();
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
        connections_[fd] = std::make_unique<Connection>(std::move(socket));
    }

    void serve(int fd) {
        Connection &connection = *connections_.at(fd);
        const std::uint32_t before = connection.interest();
        if (!connection.serve()) {
            connections_.erase(fd);
        } else if (connection.interest() != before) {
            watch(EPOLL_CTL_MOD, fd, connection.interest());
        }
    }

    const Socket &listener_;
    const Socket &stop_;
    Socket epoll_{::epoll_create1(EPOLL_CLOEXEC)};
    std::unordered_map<int, std::unique_ptr<Connection>> connections_;
};

int echo_server(int argc, char **argv) {
    CLI::App app("Sends back what it receives, until SIGTERM or SIGINT");
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    app.add_option("--host", host, "address to listen on")->capture_default_str();
    app.add_option("--port", port, "port to listen on; 0 lets the kernel choose")->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    const Socket stop = samples::open_stop_signal();
    const Socket listener = samples::listen_socket(host, port);
    samples::announce(host, samples::local_port(listener));
    EchoServer(listener, stop).run();
    return 0;
}

}  // namespace

int main(int argc, char **argv) { return samples::run_main("echo_server", echo_server, argc, argv); }
