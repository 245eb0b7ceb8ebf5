// Both directions of one connection at full speed, every byte checked, by a program that somebody may kill.
//
//   hostile_stream accept SIZE | connect SIZE PORT   sends SIZE bytes and reads to the end
//
// It says "moving" once a tenth has come; then "received N" and how the stream ended; then what it holds, before and after:
// descriptors, threads, and mapped arenas.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr size_t kPeriod = 1 << 20;  // and not a power of two away from any buffer: 4 GiB + 1 apart would look alike
std::vector<unsigned char> pattern;

int entries(const char *folder) {
    DIR *open = opendir(folder);
    int count = 0;
    while (readdir(open) != nullptr) ++count;
    closedir(open);
    return count;
}

struct Held {
    int descriptors = 0, threads = entries("/proc/self/task"), arenas = 0;
    Held() {
        // Not counted: eventfds. What one thread slept on is kept for the next, and this process has told it itself over its first connection.
        for (int fd = 0; fd < 1 << 16; ++fd) {
            char name[64];
            const ssize_t size = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), name, sizeof name);
            descriptors += size > 0 && std::string_view(name, static_cast<size_t>(size)) != "anon_inode:[eventfd]";
        }
        FILE *maps = fopen("/proc/self/maps", "r");
        char line[512];
        while (fgets(line, sizeof line, maps) != nullptr) arenas += strstr(line, "sansock-arena") != nullptr;
        fclose(maps);
    }
    [[nodiscard]] std::string text() const {
        return std::to_string(descriptors) + " " + std::to_string(threads) + " " + std::to_string(arenas);
    }
};

void send_all(int fd, size_t size) {
    for (size_t at = 0; at < size;) {
        const size_t from = at % kPeriod, want = std::min({size - at, kPeriod - from, size_t{1} + (at * 7919) % 200'000});
        const ssize_t sent = send(fd, pattern.data() + from, want, MSG_NOSIGNAL);
        if (sent <= 0) return;
        at += static_cast<size_t>(sent);
    }
    shutdown(fd, SHUT_WR);
}

int open_connection(const char *role, int port) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    socklen_t size = sizeof address;
    if (strcmp(role, "connect") == 0) return connect(fd, reinterpret_cast<sockaddr *>(&address), size) == 0 ? fd : -1;
    if (bind(fd, reinterpret_cast<sockaddr *>(&address), size) != 0 || listen(fd, 1) != 0) return -1;
    getsockname(fd, reinterpret_cast<sockaddr *>(&address), &size);
    printf("port %d\n", ntohs(address.sin_port));
    const int accepted = accept(fd, nullptr, nullptr);
    close(fd);
    return accepted;
}

/// A short connection with itself, so that what the library keeps for the process is there before the count.
void warm_up() {
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
}

}  // namespace

int main(int count, char **arguments) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (count < 3) return 2;
    pattern.resize(kPeriod);
    for (size_t i = 0; i < kPeriod; ++i) pattern[i] = static_cast<unsigned char>((i * 2654435761u) >> 13);
    warm_up();
    const Held before;
    const size_t size = strtoull(arguments[2], nullptr, 10);
    const int fd = open_connection(arguments[1], count > 3 ? atoi(arguments[3]) : 0);
    if (fd < 0) return 3;
    std::thread sender(send_all, fd, size);
    std::vector<unsigned char> data(256 * 1024);
    size_t got = 0;
    const char *ending = "end";
    bool said = false;
    for (;;) {
        const ssize_t part = recv(fd, data.data(), data.size(), 0);
        if (part == 0) break;
        if (part < 0) {
            ending = strerrorname_np(errno);
            break;
        }
        for (size_t done = 0; done < static_cast<size_t>(part);) {
            const size_t from = (got + done) % kPeriod, length = std::min(static_cast<size_t>(part) - done, kPeriod - from);
            if (memcmp(data.data() + done, pattern.data() + from, length) != 0) {
                printf("wrong byte near %zu\n", got + done);
                return 0;
            }
            done += length;
        }
        got += static_cast<size_t>(part);
        if (!said && got > size / 10) {
            said = true;
            puts("moving");
        }
    }
    sender.join();
    printf("received %zu %s\n", got, ending);
    close(fd);
    // The helper needs a moment to give back what the connection had.
    usleep(300'000);
    const std::string after = Held().text();
    printf("holds %s, held %s\n", after.c_str(), before.text().c_str());
    return 0;
}
