#include "common/server.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <exception>
#include <iostream>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace samples {
namespace {

using Handler = std::function<void(const Socket &)>;

/// A connection and its thread. The thread closes the socket at its end, so that the peer need not wait for the next
/// accept; the lock keeps stop() from meeting a descriptor that has become somebody else's.
class Session {
public:
    Session(Socket socket, const Handler &handler)
        : socket_(std::move(socket)), thread_([this, &handler] { run(handler); }) {}

    [[nodiscard]] bool is_done() const { return done_; }

    void stop() {
        const std::lock_guard lock(mutex_);
        if (socket_.fd() >= 0) ::shutdown(socket_.fd(), SHUT_RDWR);
    }

private:
    void run(const Handler &handler) {
        try {
            send_without_delay(socket_);
            handler(socket_);
        } catch (const std::exception &error) {
            std::cerr << "connection ended: " + std::string(error.what()) + '\n';
        }
        const std::lock_guard lock(mutex_);
        const Socket closed = std::move(socket_);
        done_ = true;
    }

    std::mutex mutex_;
    Socket socket_;
    std::atomic<bool> done_ = false;
    std::jthread thread_;
};

Socket accept_on(const Socket &listener) {
    Socket socket(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (socket.fd() < 0 && errno != EINTR && errno != ECONNABORTED) throw_errno("accept");
    return socket;
}

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

void announce(const Socket &listener, const std::string &host) {
    std::cout << "listening on " << host << " port " << local_port(listener) << std::endl;
}

void serve(const std::string &host, std::uint16_t port, const Handler &handler) {
    const Socket stop = open_stop_signal();
    const Socket listener = listen_on(host, port);
    announce(listener, host);
    std::list<Session> sessions;
    std::array<pollfd, 2> waits{{{listener.fd(), POLLIN, 0}, {stop.fd(), POLLIN, 0}}};
    while (waits[1].revents == 0) {
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) throw_errno("poll");
        sessions.remove_if([](const Session &session) { return session.is_done(); });
        if (waits[0].revents == 0) continue;
        if (Socket socket = accept_on(listener); socket.fd() >= 0) sessions.emplace_back(std::move(socket), handler);
    }
    for (Session &session : sessions) session.stop();
}

}  // namespace samples
