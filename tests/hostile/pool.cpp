// A server whose threads share one epoll instance, and clients that come and go.
//
//   hostile_pool accept LEVEL|EDGE | connect PORT SECONDS
//
// The server echoes; a thread that meets the end of a stream closes its connection while others may be about to be told of it. The clients
// end half of theirs by shutdown, and wait for the rest. They say "end", or what was wrong.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <atomic>
#include <chrono>
#include <random>

#include "pattern.hpp"
#include "stream_program.hpp"

namespace sansock::hostile {
namespace {

constexpr int kServers = 4, kClients = 8;
constexpr size_t kMessageMax = 3000;

/// False: the stream has ended, or failed.
bool echo_all(int fd) {
    char data[4096];
    for (;;) {
        const ssize_t got = recv(fd, data, sizeof data, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) return true;
        if (got <= 0) return false;
        for (ssize_t done = 0; done < got;) {
            const ssize_t sent = send(fd, data + done, static_cast<size_t>(got - done), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            done += sent;
        }
    }
}

int serve(uint32_t mode) {
    const int listener = listen_anywhere(), set = epoll_create1(EPOLL_CLOEXEC);
    const auto watch = [=](int operation, int fd) {
        epoll_event event{.events = EPOLLIN | EPOLLONESHOT | mode, .data = {.fd = fd}};
        epoll_ctl(set, operation, fd, &event);
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < kServers; ++i) {
        threads.emplace_back([=] {
            for (;;) {
                epoll_event event;
                if (epoll_wait(set, &event, 1, -1) != 1) continue;
                if (echo_all(event.data.fd)) {
                    watch(EPOLL_CTL_MOD, event.data.fd);
                } else {
                    close(event.data.fd);
                }
            }
        });
    }
    for (;;) {
        if (const int fd = accept(listener, nullptr, nullptr); fd >= 0) watch(EPOLL_CTL_ADD, fd);
    }
}

/// What went wrong; nullptr: nothing.
const char *round_trip(int fd, size_t from, size_t size) {
    const auto out = pattern_at(from, size);
    if (send(fd, out.data(), out.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(out.size())) return "a send failed";
    unsigned char in[kMessageMax];
    for (size_t done = 0; done < out.size();) {
        const ssize_t got = recv(fd, in, out.size() - done, 0);
        if (got <= 0) return got == 0 ? "an early end" : strerror(errno);
        if (!pattern_is(in, static_cast<size_t>(got), from + done)) return "a wrong byte";
        done += static_cast<size_t>(got);
    }
    return nullptr;
}

const char *converse(int port, std::minstd_rand &random) {
    const int fd = open_connection("connect", port);
    const timeval patience{8, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    const char *wrong = nullptr;
    size_t at = 0;
    for (auto rounds = 1 + random() % 400; rounds > 0 && wrong == nullptr; --rounds) {
        const size_t size = 1 + random() % (random() % 10 == 0 ? kMessageMax : 200);
        wrong = round_trip(fd, at, size);
        at += size;
        if (random() % 4 == 0) usleep(static_cast<useconds_t>(random() % 300));
    }
    if (wrong == nullptr && random() % 2 == 0) {
        shutdown(fd, SHUT_WR);
        char byte;
        if (recv(fd, &byte, 1, 0) != 0) wrong = "no end after shutdown";
    }
    close(fd);
    return wrong;
}

int call(int port, int seconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    std::atomic<const char *> wrong{nullptr};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kClients; ++i) {
        threads.emplace_back([&, i] {
            std::minstd_rand random(i + 1);
            while (wrong == nullptr && std::chrono::steady_clock::now() < end) {
                if (const char *what = converse(port, random)) wrong = what;
            }
        });
    }
    for (std::thread &thread : threads) thread.join();
    puts(wrong == nullptr ? "end" : wrong.load());
    return 0;
}

}  // namespace
}  // namespace sansock::hostile

int main(int count, char **arguments) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (count == 4) return sansock::hostile::call(atoi(arguments[2]), atoi(arguments[3]));
    return count == 3 ? sansock::hostile::serve(strcmp(arguments[2], "EDGE") == 0 ? uint32_t{EPOLLET} : 0u) : 2;
}
