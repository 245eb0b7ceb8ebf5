#include "common/server.hpp"

#include <poll.h>
#include <sys/signalfd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <exception>
#include <iostream>
#include <list>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace samples {
namespace {

using Handler = std::function<void(Connection &)>;

/// A connection and its thread. The thread closes the connection at its end, so that the peer need not wait for the
/// next accept; the lock keeps stop() from meeting one that is closed.
class Session {
public:
    Session(std::unique_ptr<Connection> connection, const Handler &handler)
        : connection_(std::move(connection)), thread_([this, &handler] { run(handler); }) {}

    [[nodiscard]] bool is_done() const { return done_; }

    void stop() {
        const std::lock_guard lock(mutex_);
        if (connection_) connection_->stop();
    }

private:
    void run(const Handler &handler) {
        try {
            handler(*connection_);
        } catch (const std::exception &error) {
            std::cerr << "connection ended: " + std::string(error.what()) + '\n';
        }
        const std::lock_guard lock(mutex_);
        connection_.reset();
        done_ = true;
    }

    std::mutex mutex_;
    std::unique_ptr<Connection> connection_;
    std::atomic<bool> done_ = false;
    std::jthread thread_;
};

}  // namespace

Socket open_stop_signal() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (int rc = pthread_sigmask(SIG_BLOCK, &signals, nullptr); rc != 0) {
        throw std::system_error(rc, std::generic_category(), "pthread_sigmask");
    }
    Socket stop(::signalfd(-1, &signals, SFD_CLOEXEC));
    if (stop.fd() < 0) throw_errno("signalfd");
    return stop;
}

void announce(const std::string &host, std::uint16_t port) { std::cout << "listening on " << host << " port " << port << std::endl; }

void serve(const std::string &host, std::uint16_t port, const Handler &handler) {
    const Socket stop = open_stop_signal();
    const std::unique_ptr<Listener> listener = listen_on(host, port);
    announce(host, listener->port());
    std::list<Session> sessions;
    std::array<pollfd, 2> waits{{{listener->descriptor(), POLLIN, 0}, {stop.fd(), POLLIN, 0}}};
    while (waits[1].revents == 0) {
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) throw_errno("poll");
        sessions.remove_if([](const Session &session) { return session.is_done(); });
        if (waits[0].revents == 0) continue;
        if (auto connection = listener->accept()) sessions.emplace_back(std::move(connection), handler);
    }
    for (Session &session : sessions) session.stop();
}

}  // namespace samples
