// Both directions of one connection at full speed, every byte checked, by a program that somebody may kill.
//
//   hostile_stream accept SIZE COUNTS | connect SIZE COUNTS PORT   sends SIZE bytes and reads to the end
//
// It says "moving" once a tenth has come; then "received N" and how the stream ended; then what it holds, and
// held before.
#include <stdio.h>
#include <stdlib.h>

#include <functional>

#include "counts.hpp"
#include "pattern.hpp"
#include "stream_program.hpp"

namespace sansock::hostile {
namespace {

void send_all(int fd, size_t size, Counts &counts) {
    for (size_t at = 0; at < size;) {
        const auto run = pattern_at(at, std::min(size - at, size_t{1} + (at * 7919) % 200'000));
        const ssize_t sent = send(fd, run.data(), run.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        at += static_cast<size_t>(sent);
        counts.sent = at;
    }
    shutdown(fd, SHUT_WR);
}

int stream(int count, char **arguments) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (count < 4) return 2;
    Counts *const counts = mapped_counts(arguments[3]);
    if (counts == nullptr) return 4;
    const Holding before = warm_up_and_count();
    const size_t size = strtoull(arguments[2], nullptr, 10);
    const int fd = open_connection(arguments[1], count > 4 ? atoi(arguments[4]) : 0);
    if (fd < 0) return 3;
    std::thread sender(send_all, fd, size, std::ref(*counts));
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
        if (!pattern_is(data.data(), static_cast<size_t>(part), got)) {
            printf("wrong byte near %zu\n", got);
            return 0;
        }
        got += static_cast<size_t>(part);
        counts->received = got;
        if (!said && got > size / 10) {
            said = true;
            puts("moving");
        }
    }
    sender.join();
    printf("received %zu %s\n", got, ending);
    close(fd);
    say_what_is_held(before);
    return 0;
}

}  // namespace
}  // namespace sansock::hostile

int main(int count, char **arguments) { return sansock::hostile::stream(count, arguments); }
