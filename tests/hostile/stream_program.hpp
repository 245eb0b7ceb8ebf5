// What the programs share that move a stream whole: how they open their one connection, and what they hold before it and after.
#pragma once
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "holding.hpp"

namespace sansock::hostile {

inline sockaddr_in loopback(int port) {
    return {.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
}

/// On a free port, which it prints. -1: that failed.
inline int listen_anywhere() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(fd, reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(fd, SOMAXCONN) != 0) return -1;
    getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size);
    printf("port %d\n", ntohs(address.sin_port));
    return fd;
}

/// `accept` on a port that it prints, or `connect` to one. -1: that failed.
inline int open_connection(const char *role, int port) {
    if (strcmp(role, "connect") == 0) {
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        const sockaddr_in address = loopback(port);
        return connect(fd, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0 ? fd : -1;
    }
    const int listener = listen_anywhere();
    const int accepted = accept(listener, nullptr, nullptr);
    close(listener);
    return accepted;
}

inline int entries(const char *folder) {
    DIR *open = opendir(folder);
    int count = 0;
    while (readdir(open) != nullptr) ++count;
    closedir(open);
    return count;
}

/// What this process holds now.
inline Holding held() {
    Holding found{.threads = entries("/proc/self/task")};
    DIR *open = opendir("/proc/self/fd");
    while (const dirent *entry = readdir(open)) {
        char name[64];
        const ssize_t size = readlinkat(dirfd(open), entry->d_name, name, sizeof name);
        if (size <= 0) continue;
        const bool is_eventfd = std::string_view(name, static_cast<size_t>(size)) == "anon_inode:[eventfd]";
        ++(is_eventfd ? found.eventfds : found.descriptors);
    }
    closedir(open);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    while (fgets(line, sizeof line, maps) != nullptr) {
        if (strstr(line, "/memfd:sansock-") == nullptr) continue;
        if (strstr(line, "/memfd:sansock-board") != nullptr) continue;  // places of connections, which are used again
        ++found.maps;
        if (strstr(line, " rw-s ") == nullptr) continue;  // the peer's
        struct stat file {};
        const std::string mapped = std::string("/proc/self/map_files/").append(line, strcspn(line, " "));
        if (stat(mapped.c_str(), &file) == 0) found.kib += file.st_blocks / 2;
    }
    fclose(maps);
    return found;
}

/// A hundredth of what it takes at most until a connection has moved.
#ifdef __SANITIZE_ADDRESS__
inline constexpr useconds_t kWarmUpUs = 8000;
#else
inline constexpr useconds_t kWarmUpUs = 1000;
#endif

/// A short connection of the program with itself, on which as many threads sleep at a time as ever will, so that what the library keeps
/// for the process and for its threads is there before the count.
inline Holding warm_up_and_count() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0), one = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof address;
    bind(listener, reinterpret_cast<sockaddr *>(&address), size);
    listen(listener, 1);
    getsockname(listener, reinterpret_cast<sockaddr *>(&address), &size);
    connect(one, reinterpret_cast<sockaddr *>(&address), size);
    const int other = accept(listener, nullptr, nullptr);
    char byte = 0;
    for (int i = 0; i < 400; ++i) {
        send(one, &byte, 1, 0);
        recv(other, &byte, 1, 0);
        send(other, &byte, 1, 0);
        recv(one, &byte, 1, 0);
        if (i < 100) usleep(kWarmUpUs);
    }
    const auto sleep_on = [](int fd) {
        pollfd readable{fd, POLLIN, 0};
        poll(&readable, 1, 50);
    };
    std::thread asleep(sleep_on, one), also_asleep(sleep_on, other);
    sleep_on(one);
    asleep.join();
    also_asleep.join();
    close(one);
    close(other);
    close(listener);
    usleep(200'000);
    return held();
}

/// What this process holds once it is what is wanted or nothing changes any more: the helper needs a moment to give back what a connection
/// had, and does not say when it is done.
inline Holding settled(const Holding &wanted) {
    Holding now = held();
    for (int tries = 0, alike = 0; tries < 100 && alike < 15 && now.text() != wanted.text(); ++tries) {
        usleep(100'000);
        const Holding next = held();
        alike = next.text() == now.text() ? alike + 1 : 0;
        now = next;
    }
    return now;
}

/// By the last line that the program prints.
inline void say_what_is_held(const Holding &before) { puts(holding_line(settled(before), before).c_str()); }

}  // namespace sansock::hostile
