// The echo server on sansock's own API: streams and a poller in place of sockets and epoll. No preload library is
// needed; a client may use the API too, run under `sansock run`, or know nothing of sansock.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdint>
#include <iostream>
#include <memory>
#include <sansock/poller.hpp>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "common/server.hpp"
#include "common/socket.hpp"

namespace {

constexpr std::size_t kBufferSize = 64 * 1024;

/// The value, or the error as an exception that says what failed.
template <class T>
T value_of(sansock::Expected<T> result, const std::string &what) {
    if (!result) throw std::system_error(result.error(), what);
    if constexpr (!std::is_void_v<T>) return *std::move(result);
}

bool would_block(std::error_code error) { return error == std::errc::operation_would_block; }

class Connection {
public:
    explicit Connection(sansock::Stream stream) : stream_(std::move(stream)) {}

    /// Moves what can be moved now. False once the connection is finished.
    bool serve() {
        if (!waiting() && !receive()) return false;
        return send();
    }

    /// What the poller should wait for next.
    [[nodiscard]] std::uint32_t interest() const { return waiting() ? EPOLLOUT : EPOLLIN; }

    void print_statistics() const {
        const sansock::Statistics is = stream_.statistics();
        std::cout << "a connection ended on " << is.path << (is.reason.empty() ? "" : " (" + is.reason + ")") << ": "
                  << is.received.provider + is.sent.provider << " bytes by provider, " << is.received.tcp + is.sent.tcp << " by TCP\n";
    }

private:
    [[nodiscard]] bool waiting() const { return !unsent_.empty(); }

    bool receive() {
        const auto size = stream_.try_read(buffer_);
        if (!size) return would_block(size.error());
        unsent_ = std::span(buffer_).first(*size);
        return *size > 0;
    }

    bool send() {
        if (!waiting()) return true;
        const auto size = stream_.try_write(unsent_);
        if (!size) return would_block(size.error());
        unsent_ = unsent_.subspan(*size);
        return true;
    }

    sansock::Stream stream_;
    std::array<std::byte, kBufferSize> buffer_;
    std::span<std::byte> unsent_;
};

class EchoServer {
public:
    EchoServer(sansock::Listener &listener, const samples::Socket &stop)
        : listener_(listener), stop_(stop), poller_(value_of(sansock::Poller::open(), "poller")) {
        value_of(poller_.add(listener_.descriptor(), event_of(listener_.descriptor(), EPOLLIN)), "watch");
        value_of(poller_.add(stop_.fd(), event_of(stop_.fd(), EPOLLIN)), "watch");
    }

    void run() {
        std::array<epoll_event, 64> events;
        for (;;) {
            const std::size_t count = value_of(poller_.wait(events), "wait");
            for (const epoll_event &event : std::span(events).first(count)) {
                if (event.data.fd == stop_.fd()) return;
                if (event.data.fd == listener_.descriptor()) {
                    accept();
                } else {
                    serve(event.data.fd);
                }
            }
        }
    }

private:
    static epoll_event event_of(int descriptor, std::uint32_t interest) {
        epoll_event event{};
        event.events = interest;
        event.data.fd = descriptor;
        return event;
    }

    void accept() {
        auto stream = listener_.try_accept();
        if (!stream && would_block(stream.error())) return;
        sansock::Stream accepted = value_of(std::move(stream), "accept");
        const int descriptor = accepted.descriptor();
        value_of(poller_.add(descriptor, event_of(descriptor, EPOLLIN)), "watch");
        connections_[descriptor] = std::make_unique<Connection>(std::move(accepted));
    }

    void serve(int descriptor) {
        Connection &connection = *connections_.at(descriptor);
        const std::uint32_t before = connection.interest();
        if (!connection.serve()) {
            connection.print_statistics();
            connections_.erase(descriptor);
        } else if (connection.interest() != before) {
            value_of(poller_.modify(descriptor, event_of(descriptor, connection.interest())), "watch");
        }
    }

    sansock::Listener &listener_;
    const samples::Socket &stop_;
    sansock::Poller poller_;
    std::unordered_map<int, std::unique_ptr<Connection>> connections_;
};

int native_echo_server(int argc, char **argv) {
    CLI::App app("Sends back what it receives, until SIGTERM or SIGINT");
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    app.add_option("--host", host, "address to listen on")->capture_default_str();
    app.add_option("--port", port, "port to listen on; 0 lets the kernel choose")->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    const samples::Socket stop = samples::open_stop_signal();
    auto listener = value_of(sansock::Listener::open(host, port), "listen on " + host);
    samples::announce(host, listener.port());
    EchoServer(listener, stop).run();
    return 0;
}

}  // namespace

int main(int argc, char **argv) { return samples::run_main("native_echo_server", native_echo_server, argc, argv); }
