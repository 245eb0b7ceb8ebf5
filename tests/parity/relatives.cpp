#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include <cstdio>

#include "children.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

/// Waits with `wait` for a byte, and takes it.
template <class Wait>
int sleeper(Case &t, int fd, Wait wait) {
    return in_child([&t, fd, wait] {
        t.value("wait", wait());
        char byte;
        t.data("recv", recv(fd, &byte, 1, MSG_DONTWAIT), &byte);
    });
}

constexpr int kAsleepUs = 100'000;

}  // namespace

// A process sleeps on what another of its family has too.
Subject relatives() {
    Subject cases{.name = "relatives", .needs_process = true};
    cases.add("the_parent_goes_back_to_tcp_while_the_child_polls", [](Case &t) {
        const auto c = t.connect();
        const int child = sleeper(t, c.fd, [&] {
            pollfd entry{.fd = c.fd, .events = POLLIN};
            return poll(&entry, 1, 10'000);
        });
        usleep(kAsleepUs);
        fclose(fdopen(dup(c.fd), "r"));
        c.peer.send("x");
        wait_for(t, child);
    });

    cases.add("the_parent_goes_back_to_tcp_while_the_child_waits", [](Case &t) {
        const auto c = t.connect();
        const int child = sleeper(t, c.fd, [&] {
            const int set = must("epoll_create1", epoll_create1(0));
            epoll_event event{.events = EPOLLIN, .data = {}};
            must("ADD", epoll_ctl(set, EPOLL_CTL_ADD, c.fd, &event));
            return epoll_wait(set, &event, 1, 10'000);
        });
        usleep(kAsleepUs);
        fclose(fdopen(dup(c.fd), "r"));
        c.peer.send("x");
        wait_for(t, child);
    });

    cases.add("the_child_goes_back_to_tcp_while_the_parent_polls", [](Case &t) {
        const auto c = t.connect();
        const int child = in_child([&] {
            usleep(kAsleepUs);
            fclose(fdopen(dup(c.fd), "r"));
            c.peer.send("x");
        });
        pollfd entry{.fd = c.fd, .events = POLLIN};
        t.value("poll", poll(&entry, 1, 10'000));
        wait_for(t, child);
    });

    // As rsync does: the parent writes, the child reads, and both poll.
    cases.add("each_polls_for_one_direction", [](Case &t) {
        const auto c = t.connect();
        constexpr int kRounds = 200;
        const int child = in_child([&] {
            int timeouts = 0, bytes = 0;
            while (bytes < kRounds) {
                pollfd entry{.fd = c.fd, .events = POLLIN};
                if (poll(&entry, 1, 2000) != 1) {
                    ++timeouts;
                    break;
                }
                char data[64];
                const ssize_t got = recv(c.fd, data, sizeof data, MSG_DONTWAIT);
                if (got <= 0) break;
                bytes += static_cast<int>(got);
            }
            t.value("timeouts", timeouts);
            t.value("bytes", bytes);
        });
        int timeouts = 0;
        for (int i = 0; i < kRounds; ++i) {
            pollfd entry{.fd = c.fd, .events = POLLOUT};
            timeouts += poll(&entry, 1, 2000) != 1;
            if (i % 4 == 0) usleep(1000);
            send(c.fd, "y", 1, MSG_NOSIGNAL);
            c.peer.send("x");
        }
        wait_for(t, child);
        t.value("the parent's timeouts", timeouts);
        t.outcome("peer", c.peer.receive_up_to(kRounds));
    });

    // One number for what the parent sleeps on, then a child, then the parent again.
    cases.add("they_sleep_by_turns", [](Case &t) {
        const auto c = t.connect();
        const auto sleep_once = [&] {
            pollfd entry{.fd = c.fd, .events = POLLIN};
            const int ready = poll(&entry, 1, 10'000);
            char byte;
            return ready == 1 && recv(c.fd, &byte, 1, MSG_DONTWAIT) == 1;
        };
        for (int i = 0; i < 6; ++i) {
            const auto turn = [&] { t.value("woken", sleep_once()); };
            if (i % 2 == 0) {
                const int child = in_child(turn);
                usleep(kAsleepUs);
                c.peer.send("x");
                wait_for(t, child);
            } else {
                const int waker = in_child([&] {
                    usleep(kAsleepUs);
                    c.peer.send("x");
                });
                turn();
                wait_for(t, waker);
            }
        }
    });
    return cases;
}

}  // namespace sansock::parity
