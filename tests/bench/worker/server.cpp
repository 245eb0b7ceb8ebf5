// The server of every measurement. It has one event loop, and a thread for each connection that asked for one.
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "counted.hpp"
#include "figures.hpp"
#include "roles.hpp"
#include "transport.hpp"

namespace bench {
namespace {

constexpr std::size_t kSinkBuffer = 1 << 20;

void echo(int fd, std::size_t size) {
    std::vector<std::byte> message(size);
    while (receive_all(fd, message)) send_all(fd, message);
}

void sink(int fd) {
    std::vector<std::byte> buffer(kSinkBuffer);
    std::uint64_t total = 0;
    for (;;) {
        const ssize_t got = recv(fd, buffer.data(), buffer.size(), 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail_errno("receive");
        if (got == 0) break;
        total += static_cast<std::uint64_t>(got);
    }
    send_all(fd, bytes_of(total));
}

void serve_alone(int fd, Hello hello) {
    if (hello.mode == Hello::Mode::kEcho) echo(fd, hello.size);
    if (hello.mode == Hello::Mode::kSink) sink(fd);
    if (hello.mode == Hello::Mode::kCountedEcho) serve_counted_echo(fd, hello);
    close(fd);
}

class Server {
public:
    explicit Server(int listener) : listener_(listener), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
        if (epoll_ < 0) fail_errno("epoll_create1");
        watch(listener_);
        watch(STDIN_FILENO);
    }

    /// Until whoever started us closes our standard input.
    void run() {
        std::vector<epoll_event> events(256);
        for (;;) {
            const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), -1);
            if (count < 0 && errno != EINTR) fail_errno("epoll_wait");
            for (int i = 0; i < count; ++i) {
                const int fd = events[static_cast<std::size_t>(i)].data.fd;
                if (fd == STDIN_FILENO) return;
                if (fd == listener_) {
                    accept_one();
                } else {
                    serve(fd);
                }
            }
        }
    }

private:
    void watch(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) fail_errno("epoll_ctl");
    }

    Hello::Mode &mode_of(int fd) {
        if (static_cast<std::size_t>(fd) >= modes_.size()) modes_.resize(static_cast<std::size_t>(fd) * 2);
        return modes_[static_cast<std::size_t>(fd)];
    }

    void accept_one() {
        const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) fail_errno("accept");
        mode_of(fd) = kUnknown;
        watch(fd);
    }

    void serve(int fd) {
        if (mode_of(fd) == kUnknown) return begin(fd);
        std::byte buffer[4096];
        const ssize_t got = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got <= 0) {
            close(fd);
            return;
        }
        if (mode_of(fd) == Hello::Mode::kFigures) {
            Figures figures = own_figures(static_cast<Asked>(buffer[0]));
            send_all(fd, bytes_of(figures));
        } else {
            send_all(fd, std::span(buffer).first(static_cast<std::size_t>(got)));
        }
    }

    void begin(int fd) {
        Hello hello;
        const ssize_t got = recv(fd, &hello, sizeof hello, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (got == 0) {
            close(fd);
            return;
        }
        if (got != sizeof hello || hello.magic != Hello::kMagic) fail("a connection did not begin with a hello");
        mode_of(fd) = hello.mode;
        switch (hello.mode) {
            case Hello::Mode::kEcho:
            case Hello::Mode::kSink:
            case Hello::Mode::kCountedEcho:
                if (epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr) != 0) fail_errno("epoll_ctl");
                std::thread(serve_alone, fd, hello).detach();
                return;
            case Hello::Mode::kOnce:
                send_all(fd, bytes_of(hello));
                close(fd);
                return;
            case Hello::Mode::kEchoInLoop:
            case Hello::Mode::kFigures: return;
        }
    }

    static constexpr Hello::Mode kUnknown{0};

    int listener_;
    int epoll_;
    std::vector<Hello::Mode> modes_ = std::vector<Hello::Mode>(1024);
};

}  // namespace

void allow_descriptors() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

void serve_in_threads(const std::string &address) {
    const int listener = listen_on(address);
    std::printf("ready %s\n", address_of(listener, address).c_str());
    std::fflush(stdout);
    for (;;) {
        const int fd = accept(listener, nullptr, nullptr);
        if (fd < 0) fail_errno("accept");
        Hello hello;
        if (!receive_all(fd, bytes_of(hello)) || hello.magic != Hello::kMagic) fail("a connection did not begin with a hello");
        std::thread(serve_alone, fd, hello).detach();
    }
}

void serve(const std::string &address) {
    allow_descriptors();
    const int listener = listen_on(address);
    std::printf("ready %s\n", address_of(listener, address).c_str());
    std::fflush(stdout);
    Server(listener).run();
}

}  // namespace bench
