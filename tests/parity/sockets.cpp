#include "sockets.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "pattern.hpp"

namespace sansock::parity {

namespace {
constexpr std::size_t kChunk = 64 * 1024;
}

void die(const char *what) {
    perror(what);
    _exit(3);
}

int must(const char *what, long value) {
    if (value < 0) die(what);
    return static_cast<int>(value);
}

Address Address::loopback(int family, int port) {
    Address address;
    if (family == AF_INET6) {
        auto &in6 = reinterpret_cast<sockaddr_in6 &>(address.storage);
        in6.sin6_family = AF_INET6;
        in6.sin6_addr = in6addr_loopback;
        in6.sin6_port = htons(static_cast<std::uint16_t>(port));
        address.length = sizeof in6;
    } else {
        auto &in = reinterpret_cast<sockaddr_in &>(address.storage);
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in.sin_port = htons(static_cast<std::uint16_t>(port));
        address.length = sizeof in;
    }
    return address;
}

int Address::port() const {
    if (storage.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6 &>(storage).sin6_port);
    return ntohs(reinterpret_cast<const sockaddr_in &>(storage).sin_port);
}

int new_socket(int family) { return must("socket", socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

int listening_socket(int family) {
    const int fd = new_socket(family);
    const Address address = Address::loopback(family, 0);
    must("bind", bind(fd, address.get(), address.length));
    must("listen", listen(fd, 128));
    return fd;
}

int local_port(int fd) {
    Address address;
    must("getsockname", getsockname(fd, address.get(), &address.length));
    return address.port();
}

int connected_to(int family, int port) {
    const int fd = new_socket(family);
    const Address address = Address::loopback(family, port);
    must("connect", connect(fd, address.get(), address.length));
    return fd;
}

void send_all(int fd, const void *data, std::size_t count) {
    for (std::size_t sent = 0; sent < count;) {
        const ssize_t n = send(fd, static_cast<const char *>(data) + sent, count - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        sent += static_cast<std::size_t>(must("send", n));
    }
}

Outcome receive_up_to(int fd, std::size_t count) {
    Outcome outcome;
    outcome.bytes.resize(count);
    std::size_t got = 0;
    while (got < count) {
        const ssize_t n = recv(fd, outcome.bytes.data() + got, count - got, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) outcome.error = errno;
        if (n <= 0) break;
        got += static_cast<std::size_t>(n);
    }
    outcome.bytes.resize(got);
    outcome.result = static_cast<long>(got);
    return outcome;
}

Outcome receive_to_end(int fd) {
    Outcome all;
    while (true) {
        Outcome part = receive_up_to(fd, kChunk);
        all.bytes += part.bytes;
        all.error = part.error;
        if (part.result < static_cast<long>(kChunk)) break;
    }
    all.result = static_cast<long>(all.bytes.size());
    return all;
}

Outcome send_pattern(int fd, std::size_t count, std::uint64_t seed) {
    Pattern pattern(seed);
    std::vector<char> chunk(kChunk);
    for (std::size_t sent = 0; sent < count;) {
        const std::size_t part = std::min(kChunk, count - sent);
        pattern.fill(chunk.data(), part);
        for (std::size_t done = 0; done < part;) {
            const ssize_t n = send(fd, chunk.data() + done, part - done, MSG_NOSIGNAL);
            if (n < 0 && errno == EINTR) continue;
            if (n < 0) return {static_cast<long>(sent + done), errno, {}};
            done += static_cast<std::size_t>(n);
        }
        sent += part;
    }
    return {static_cast<long>(count), 0, {}};
}

Outcome receive_pattern(int fd, std::size_t count, std::uint64_t seed) {
    Pattern pattern(seed);
    std::vector<char> chunk(kChunk);
    for (std::size_t got = 0; got < count;) {
        const ssize_t n = recv(fd, chunk.data(), std::min(kChunk, count - got), 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return {static_cast<long>(got), n < 0 ? errno : 0, {}};
        if (!pattern.matches(chunk.data(), static_cast<std::size_t>(n))) return {-2, EBADMSG, {}};
        got += static_cast<std::size_t>(n);
    }
    return {static_cast<long>(count), 0, {}};
}

Outcome exchange_patterns(int fd, std::size_t count, std::uint64_t seed_out, std::uint64_t seed_in) {
    Outcome sent;
    std::thread sender([&] { sent = send_pattern(fd, count, seed_out); });
    Outcome received = receive_pattern(fd, count, seed_in);
    sender.join();
    return sent.result == static_cast<long>(count) ? received : sent;
}

}  // namespace sansock::parity
