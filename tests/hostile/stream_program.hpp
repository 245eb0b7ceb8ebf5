// What the programs share that move a stream whole: how they open their one connection, and what they hold before it and after.
#pragma once
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace sansock::hostile {

inline sockaddr_in loopback(int port) {
    return {.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
}

/// On a free port, which it prints. -1: that failed.
inline int listen_anywhere() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (bind(fd, reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(fd, 1) != 0) return -1;
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

/// Descriptors, threads, and mapped arenas.
struct Held {
    int descriptors = 0, threads = entries("/proc/self/task"), arenas = 0;
    Held() {
        // Not counted: eventfds. What one thread slept on is kept for the next, and this process has told it itself over its first
        // connection.
        DIR *open = opendir("/proc/self/fd");
        while (const dirent *entry = readdir(open)) {
            char name[64];
            const ssize_t size = readlinkat(dirfd(open), entry->d_name, name, sizeof name);
            descriptors += size > 0 && std::string_view(name, static_cast<size_t>(size)) != "anon_inode:[eventfd]";
        }
        closedir(open);
        FILE *maps = fopen("/proc/self/maps", "r");
        char line[512];
        while (fgets(line, sizeof line, maps) != nullptr) arenas += strstr(line, "sansock-arena") != nullptr;
        fclose(maps);
    }
    [[nodiscard]] std::string text() const {
        return std::to_string(descriptors) + " " + std::to_string(threads) + " " + std::to_string(arenas);
    }
};

/// A short connection of the program with itself, so that what the library keeps for the process is there before the count.
inline Held warm_up_and_count() {
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
        if (i < 100) usleep(1000);
    }
    close(one);
    close(other);
    close(listener);
    usleep(200'000);
    return {};
}

/// "holds D T A, held D T A".
inline void say_what_is_held(const Held &before) {
    usleep(300'000);  // the helper needs a moment to give back what the connection had
    printf("holds %s, held %s\n", Held().text().c_str(), before.text().c_str());
}

}  // namespace sansock::hostile
