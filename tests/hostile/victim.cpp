// An honest program with one TCP connection, run under sansock beside a hostile peer. It says on standard output where it listens,
// and how its connection ended: "end", "error NAME" or "wrong byte".
//
//   hostile_victim accept [polls]        listens on a free port, says "port N", and echoes what the first connection sends; polls: by
//                                        poll() on a non-blocking socket
//   hostile_victim serve COUNT           the same for COUNT connections at once, and says "end" when all have ended
//   hostile_victim connect PORT [COUNT]  sends 64 bytes, wants them back, and begins again after 5 ms; with COUNT that often, at once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

namespace {

int said(const char *how) {
    printf("%s\n", how);
    return 0;
}

int said_error() {
    printf("error %s\n", strerrorname_np(errno));
    usleep(100'000);  // the library's helper has something to log
    return 0;
}

bool write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0) return false;
        data += sent;
        size -= static_cast<size_t>(sent);
    }
    return true;
}

/// On a free port, which it says. -1: that failed, and is said.
int listen_anywhere() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof address;
    if (bind(listener, reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, reinterpret_cast<sockaddr *>(&address), &size) != 0) {
        said_error();
        return -1;
    }
    printf("port %d\n", ntohs(address.sin_port));
    return listener;
}

int serve(unsigned count) {
    const int listener = listen_anywhere();
    if (listener < 0) return 0;
    std::vector<pollfd> watched{{listener, POLLIN, 0}};
    for (unsigned ended = 0; ended < count;) {
        poll(watched.data(), watched.size(), -1);
        for (size_t i = watched.size(); --i > 0;) {
            if (watched[i].revents == 0) continue;
            char data[4096];
            const ssize_t got = recv(watched[i].fd, data, sizeof data, 0);
            if (got > 0 && write_all(watched[i].fd, data, static_cast<size_t>(got))) continue;
            close(watched[i].fd);
            watched.erase(watched.begin() + static_cast<ptrdiff_t>(i));
            ++ended;
        }
        if (watched[0].revents != 0) watched.push_back({accept(listener, nullptr, nullptr), POLLIN, 0});
    }
    return said("end");
}

int echo(bool polls) {
    const int listener = listen_anywhere();
    if (listener < 0) return 0;
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) return said_error();
    if (polls) fcntl(fd, F_SETFL, O_NONBLOCK);
    static char data[64 * 1024];
    for (;;) {
        pollfd readable{fd, POLLIN, 0};
        if (polls) poll(&readable, 1, -1);
        const ssize_t got = recv(fd, data, sizeof data, 0);
        if (got < 0 && errno == EAGAIN) continue;
        if (got == 0) break;
        if (got < 0 || !write_all(fd, data, static_cast<size_t>(got))) {
            said_error();
            close(fd);
            return 0;
        }
    }
    close(fd);
    return said("end");
}

int ping(int port, unsigned count_max) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const sockaddr_in address{
        .sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    if (connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) != 0) return said_error();
    char sent[64], got[64];
    for (unsigned round = 0;; ++round) {
        for (unsigned i = 0; i < sizeof sent; ++i) sent[i] = static_cast<char>(round * 64 + i);
        if (!write_all(fd, sent, sizeof sent)) break;
        const ssize_t count = recv(fd, got, sizeof got, MSG_WAITALL);
        if (count < 0) break;
        if (count != sizeof got || memcmp(sent, got, sizeof got) != 0) {
            close(fd);
            return said(count == 0 ? "end" : "wrong byte");
        }
        if (count_max == 0) usleep(5000);
        if (round + 1 == count_max) {
            close(fd);
            return said("end");
        }
    }
    said_error();
    close(fd);
    return 0;
}

}  // namespace

int main(int count, char **arguments) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (count >= 2 && strcmp(arguments[1], "accept") == 0) return echo(count == 3);
    if (count == 3 && strcmp(arguments[1], "serve") == 0) return serve(static_cast<unsigned>(atoi(arguments[2])));
    if (count >= 3 && strcmp(arguments[1], "connect") == 0)
        return ping(atoi(arguments[2]), count == 4 ? static_cast<unsigned>(atoi(arguments[3])) : 0);
    fprintf(stderr, "usage: hostile_victim accept [polls] | serve COUNT | connect PORT [COUNT]\n");
    return 2;
}
