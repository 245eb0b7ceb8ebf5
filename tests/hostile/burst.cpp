// Many connections of two processes that all send and receive at once, and then rest.
//
//   hostile_burst accept COUNT | connect COUNT PORT
//
// Every connection carries a few MiB each way, every byte checked. Then it says "holds K KiB", again and again while it rests; when it
// is sent SIGUSR1 it sends and receives a little more on each connection, closes them and says "end"; or "wrong byte".
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>

#include "pattern.hpp"
#include "stream_program.hpp"

namespace sansock::hostile {
namespace {

constexpr size_t kBurst = 3 << 20, kMore = 100'000;
constexpr useconds_t kSayUs = 200'000;

std::atomic<bool> asked{false};

/// Both ways at once.
bool exchange(int fd, size_t from, size_t size) {
    std::thread sender([=] {
        for (size_t done = 0; done < size;) {
            const auto run = pattern_at(from + done, size - done);
            const ssize_t sent = send(fd, run.data(), run.size(), MSG_NOSIGNAL);
            if (sent <= 0) return;
            done += static_cast<size_t>(sent);
        }
    });
    std::vector<unsigned char> data(64 * 1024);
    bool right = true;
    for (size_t done = 0; right && done < size;) {
        const ssize_t got = recv(fd, data.data(), std::min(data.size(), size - done), 0);
        right = got > 0 && pattern_is(data.data(), static_cast<size_t>(got), from + done);
        done += right ? static_cast<size_t>(got) : 0;
    }
    if (!right) shutdown(fd, SHUT_RDWR);
    sender.join();
    return right;
}

bool on_all(const std::vector<int> &fds, size_t from, size_t size) {
    std::atomic<bool> right{true};
    std::vector<std::thread> threads;
    for (const int fd : fds) {
        threads.emplace_back([&right, fd, from, size] {
            if (!exchange(fd, from, size)) right = false;
        });
    }
    for (std::thread &thread : threads) thread.join();
    return right;
}

/// A byte of each connection now and then, so that they have moved before the burst.
void warm(const std::vector<int> &fds) {
    char byte = 0;
    for (int i = 0; i < 100; ++i) {
        for (const int fd : fds) send(fd, &byte, 1, MSG_NOSIGNAL);
        for (const int fd : fds) recv(fd, &byte, 1, 0);
        usleep(2000);
    }
}

int burst(int count, char **arguments) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (count < 3) return 2;
    signal(SIGUSR1, [](int) { asked = true; });
    const bool connects = count > 3;
    std::vector<int> fds(static_cast<size_t>(atoi(arguments[2])));
    const int listener = connects ? -1 : listen_anywhere();
    for (int &fd : fds) fd = connects ? open_connection("connect", atoi(arguments[3])) : accept(listener, nullptr, nullptr);
    warm(fds);
    bool right = on_all(fds, 0, kBurst);
    do {
        printf("holds %ld KiB\n", held().kib);
        usleep(kSayUs);
    } while (right && !asked);
    right = right && on_all(fds, kBurst, kMore);
    for (const int fd : fds) close(fd);
    puts(right ? "end" : "wrong byte");
    return 0;
}

}  // namespace
}  // namespace sansock::hostile

int main(int count, char **arguments) { return sansock::hostile::burst(count, arguments); }
