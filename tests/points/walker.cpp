// One end of a connection that meets as many transitions of the protocol as its scenario has, every byte checked, by a program that
// stops or dies at one of them.
//
//   points_walker accept SCENARIO COUNTS | connect SCENARIO COUNTS PORT
//
// COUNTS is a file of two 64-bit counts, which outlive it: bytes that send() has taken, and bytes read. It says how its stream ended, as
// "received N end" or "received N ECONNRESET", and then what it holds, before and after.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "pattern.hpp"
#include "stream_program.hpp"

namespace sansock::hostile {
namespace {

constexpr size_t kTalk = 200, kMessage = 64;  // round trips, in which the connection moves
constexpr size_t kBulk = 600'000;             // more than a window

struct Counts {
    std::atomic<uint64_t> sent, received;
};

struct Walk {
    int fd;
    bool connects;
    std::string scenario;
    Counts *counts;
    std::string ending = "end";
    std::atomic<int> send_error{0};  // of the two threads, one is told of a reset

    bool send_bytes(size_t size, int flags = 0) {
        for (size_t done = 0; done < size;) {
            const uint64_t at = counts->sent.load();
            const auto run = pattern_at(at, std::min(size - done, size_t{1} + (at * 7919) % 50'000));
            const ssize_t sent = send(fd, run.data(), run.size(), flags | MSG_NOSIGNAL);
            if (sent < 0) send_error = errno;
            if (sent <= 0) return false;
            counts->sent.fetch_add(static_cast<uint64_t>(sent));
            done += static_cast<size_t>(sent);
        }
        return true;
    }
    /// False at the end of the stream, which `ending` tells of.
    bool receive_bytes(size_t size) {
        static thread_local std::vector<unsigned char> data(64 * 1024);
        for (size_t done = 0; done < size;) {
            const ssize_t got = recv(fd, data.data(), std::min(data.size(), size - done), 0);
            if (got < 0) ending = strerrorname_np(errno);
            if (got <= 0) return false;
            if (!pattern_is(data.data(), static_cast<size_t>(got), counts->received.load())) {
                ending = "wrong byte";
                return false;
            }
            counts->received.fetch_add(static_cast<uint64_t>(got));
            done += static_cast<size_t>(got);
        }
        return true;
    }
    bool talk() {
        // The accepting end waits on an epoll instance meanwhile: what is sent to it goes into the activity log.
        const int set = connects ? -1 : epoll_create1(EPOLL_CLOEXEC);
        epoll_event event{EPOLLIN, {}};
        if (!connects) epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
        bool alive = true;
        for (size_t i = 0; alive && i < kTalk; ++i) {
            if (!connects) epoll_wait(set, &event, 1, -1);
            alive = connects ? send_bytes(kMessage) && receive_bytes(kMessage) : receive_bytes(kMessage) && send_bytes(kMessage);
            if (i % 8 == 0) usleep(200);  // the helpers have a life as well
        }
        if (!connects) close(set);
        return alive;
    }
    /// Everything both ways at once, then to the end.
    void bulk(size_t size = kBulk) {
        std::thread sender([&] {
            if (send_bytes(size)) shutdown(fd, SHUT_WR);
        });
        while (receive_bytes(kBulk)) {
        }
        sender.join();
    }
    void step_back() {
        int off = 0;
        ioctl(fd, FIOASYNC, &off);
    }
    void run(char **arguments);
};

/// In a child that has the connection with its parent; the parent goes on when the child has ended, however that was.
template <class Work>
void in_a_child(Work work) {
    const pid_t child = fork();
    if (child == 0) {
        work();
        _exit(0);
    }
    waitpid(child, nullptr, 0);
}

void Walk::run(char **arguments) {
    if (scenario == "resumed") return bulk();  // the second half of "exec"
    if (!talk()) return;
    if (scenario == "back") {
        // One end goes back while the other has yet to read.
        std::thread third([this] {
            usleep(2000);
            if (connects) step_back();
        });
        if (!connects) usleep(10'000);
        bulk();
        third.join();
    } else if (scenario == "exec" && !connects) {
        char number[16];
        snprintf(number, sizeof number, "%d", fd);
        char role[] = "fd", next[] = "resumed";
        char *words[] = {arguments[0], role, next, arguments[3], number, nullptr};
        execv("/proc/self/exe", words);
    } else if (scenario == "fork" && connects) {
        in_a_child([this] { bulk(); });
        // Where a killed child had got to in reading it has told nobody.
        char rest[4096];
        while (recv(fd, rest, sizeof rest, 0) > 0) {
        }
    } else if (scenario == "kept") {
        // What the other end has not read when this one closes.
        if (connects) return static_cast<void>(send_bytes(kBulk / 10));
        usleep(30'000);
        while (receive_bytes(kBulk)) {
        }
    } else if (scenario == "unread") {
        if (!connects) return usleep(20'000), static_cast<void>(0);
        send_bytes(kBulk / 10);
        while (receive_bytes(kBulk)) {
        }
    } else {
        bulk();
    }
}

int walk(int count, char **arguments) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    if (count < 4) return 2;
    const bool resumed = strcmp(arguments[1], "fd") == 0;
    const int file = open(arguments[3], O_RDWR | O_CLOEXEC);
    void *memory = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (memory == MAP_FAILED) return 3;
    std::optional<Held> before;
    if (!resumed) before = warm_up_and_count();
    const int number = count > 4 ? atoi(arguments[4]) : 0;
    Walk walk{resumed ? number : open_connection(arguments[1], number), strcmp(arguments[1], "connect") == 0, arguments[2],
              static_cast<Counts *>(memory)};
    if (walk.fd < 0) return 4;
    if (void *arm = dlsym(RTLD_DEFAULT, "sansock_arm_points")) reinterpret_cast<void (*)()>(arm)();
    walk.run(arguments);
    close(walk.fd);
    if (walk.send_error == ECONNRESET || (walk.send_error == EPIPE && walk.ending == "ENOTCONN"))
        walk.ending = strerrorname_np(walk.send_error);
    printf("received %lu %s\n", walk.counts->received.load(), walk.ending.c_str());
    if (before) say_what_is_held(*before);
    return 0;
}

}  // namespace
}  // namespace sansock::hostile

int main(int count, char **arguments) { return sansock::hostile::walk(count, arguments); }
