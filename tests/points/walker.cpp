// One end of a connection that meets as many transitions of the protocol as its scenario has, every byte checked, by a program that
// stops or dies at one of them.
//
//   points_walker accept SCENARIO COUNTS | connect SCENARIO COUNTS PORT
//
// COUNTS is a file that tells a test how far it has come, whatever becomes of it. It says how its stream ended, as "received N end" or
// "received N ECONNRESET" ("received N unread" where it closes without looking), and then what it holds, and held before.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "counts.hpp"
#include "pattern.hpp"
#include "stream_program.hpp"

namespace sansock::hostile {
namespace {

constexpr size_t kTalk = 200, kMessage = 64;  // round trips, in which the connection moves
constexpr size_t kBulk = 600'000;             // more than a window

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
    /// The program begins anew with the connection alone.
    void begin_anew(char **arguments, const char *scenario, const Holding &before) const {
        char number[16];
        snprintf(number, sizeof number, "%d", fd);
        std::string next = scenario, held = holding_line({}, before);
        char role[] = "fd";
        char *words[] = {arguments[0], role, next.data(), arguments[3], number, held.data(), nullptr};
        execv("/proc/self/exe", words);
    }
    void run(char **arguments, const Holding &at_start);
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

void Walk::run(char **arguments, const Holding &at_start) {
    if (scenario.starts_with("resumed")) return bulk();  // the second half of "exec"
    if (!talk()) return;
    const auto back = [this] {
        std::thread third([this] {
            usleep(2000);
            step_back();
        });
        bulk();
        third.join();
    };
    // Where a child that was killed had got to in reading it has told nobody.
    const auto read_the_rest = [this] {
        char rest[4096];
        while (recv(fd, rest, sizeof rest, 0) > 0) {
        }
    };
    if (scenario == "back" && connects) {
        // One end goes back while the other has yet to read.
        back();
    } else if (scenario == "back" || scenario == "fork-back") {
        if (!connects) return usleep(10'000), bulk();
        in_a_child(back);
        read_the_rest();
    } else if (scenario == "exec" && !connects) {
        begin_anew(arguments, "resumed", at_start);
    } else if (scenario == "fork" && connects) {
        in_a_child([this] { bulk(); });
        read_the_rest();
    } else if (scenario == "fork-exec" && connects) {
        in_a_child([&] { begin_anew(arguments, "resumed-child", at_start); });
        read_the_rest();
    } else if (scenario == "fork-kept") {
        // The parent has left when its child closes with bytes that the other end has not read.
        if (connects) {
            const pid_t child = fork();
            if (child == 0) {
                usleep(5'000);
                send_bytes(kBulk / 10);
                close(fd);
                _exit(0);
            }
            close(fd);
            waitpid(child, nullptr, 0);
            return;
        }
        usleep(30'000);
        while (receive_bytes(kBulk)) {
        }
    } else if (scenario == "kept") {
        // What the other end has not read when this one closes.
        if (connects) return static_cast<void>(send_bytes(kBulk / 10));
        usleep(30'000);
        while (receive_bytes(kBulk)) {
        }
    } else if (scenario == "unread") {
        if (!connects) {
            ending = "unread";
            return static_cast<void>(usleep(20'000));
        }
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
    Counts *const counts = mapped_counts(arguments[3]);
    if (counts == nullptr) return 3;
    const Holding at_start = held();
    std::optional<Holding> before;
    if (!resumed) before = warm_up_and_count();
    // Of the image before this one, nothing may be left but the connection.
    if (const auto told = holdings_in(resumed && count > 5 ? arguments[5] : "")) before = told->second;
    const int number = count > 4 ? atoi(arguments[4]) : 0;
    Walk walk{resumed ? number : open_connection(arguments[1], number), strcmp(arguments[1], "connect") == 0, arguments[2], counts};
    if (walk.fd < 0) return 4;
    if (void *arm = dlsym(RTLD_DEFAULT, "sansock_arm_points")) reinterpret_cast<void (*)()>(arm)();
    walk.run(arguments, at_start);
    close(walk.fd);
    if (walk.scenario == "resumed-child") return 0;
    if (walk.send_error == ECONNRESET || (walk.send_error == EPIPE && walk.ending == "ENOTCONN"))
        walk.ending = strerrorname_np(walk.send_error);
    printf("received %lu %s\n", walk.counts->received.load(), walk.ending.c_str());
    if (before) say_what_is_held(*before);
    return 0;
}

}  // namespace
}  // namespace sansock::hostile

int main(int count, char **arguments) { return sansock::hostile::walk(count, arguments); }
