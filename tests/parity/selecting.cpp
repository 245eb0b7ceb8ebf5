#include <sys/select.h>

#include <algorithm>
#include <csignal>
#include <initializer_list>
#include <string>
#include <thread>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

fd_set set_of(std::initializer_list<int> fds) {
    fd_set set;
    FD_ZERO(&set);
    for (const int fd : fds) FD_SET(fd, &set);
    return set;
}

/// `1 0` where the set holds the first and not the second.
std::string members(const fd_set &set, int first, int second) {
    return std::to_string(FD_ISSET(first, &set)) + " " + std::to_string(FD_ISSET(second, &set));
}

}  // namespace

// select and pselect as calls.
Subject selecting() {
    Subject cases{"select"};
    cases.add("times_out", [](Case &t) {
        const auto c = t.connect();
        fd_set readable = set_of({c.fd});
        timeval soon{.tv_sec = 0, .tv_usec = 25'000};
        t.value("select", select(c.fd + 1, &readable, nullptr, nullptr, &soon));
        t.yes_no("still in the set", FD_ISSET(c.fd, &readable));
        t.value("time left", soon.tv_sec * 1'000'000 + soon.tv_usec);
    });

    cases.add("leaves_the_time_that_is_left", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        fd_set readable = set_of({c.fd});
        timeval later{.tv_sec = 100, .tv_usec = 0};
        t.value("select", select(c.fd + 1, &readable, nullptr, nullptr, &later));
        t.yes_no("most is left", later.tv_sec >= 90);
    });

    cases.add("wakes_on_arrival", [](Case &t) {
        const auto c = t.connect();
        std::thread sender([&] {
            let_others_block();
            c.peer.send("x");
        });
        fd_set readable = set_of({c.fd});
        t.value("select", select(c.fd + 1, &readable, nullptr, nullptr, nullptr));
        t.yes_no("readable", FD_ISSET(c.fd, &readable));
        sender.join();
    });

    cases.add("wakes_on_room", [](Case &t) {
        const auto c = t.connect();
        const std::size_t sent = fill(c.fd, 1);
        c.peer.start_receive_pattern(sent, 1);
        fd_set writable = set_of({c.fd});
        timeval later{.tv_sec = 20, .tv_usec = 0};
        t.value("select", select(c.fd + 1, nullptr, &writable, nullptr, &later));
        t.yes_no("writable", FD_ISSET(c.fd, &writable));
        c.peer.finish();
    });

    cases.add("counts_each_set", [](Case &t) {
        const auto one = t.connect(), two = t.connect();
        one.peer.send("x");
        t.await_unread(one.fd, 1);
        fd_set readable = set_of({one.fd, two.fd}), writable = set_of({one.fd, two.fd});
        t.value("select", select(std::max(one.fd, two.fd) + 1, &readable, &writable, nullptr, nullptr));
        t.says("readable", members(readable, one.fd, two.fd));
        t.says("writable", members(writable, one.fd, two.fd));
    });

    cases.add("mixed_with_a_pipe", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        std::thread sender([&] {
            let_others_block();
            c.peer.send("x");
        });
        fd_set readable = set_of({c.fd, ends[0]});
        t.value("select", select(std::max(c.fd, ends[0]) + 1, &readable, nullptr, nullptr, nullptr));
        sender.join();
        t.says("readable", members(readable, c.fd, ends[0]));
    });

    cases.add("looks_no_further_than_told", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        fd_set readable = set_of({c.fd});
        timeval at_once{};
        t.value("select", select(c.fd, &readable, nullptr, nullptr, &at_once));
    });

    cases.add("wrong_arguments", [](Case &t) {
        const auto c = t.connect();
        fd_set readable = set_of({c.fd});
        timeval at_once{};
        t.value("negative number", select(-1, &readable, nullptr, nullptr, &at_once));
        timeval negative{.tv_sec = -1, .tv_usec = 0};
        t.value("negative time", select(c.fd + 1, &readable, nullptr, nullptr, &negative));
        close(c.fd);
        readable = set_of({c.fd});
        t.value("closed", select(c.fd + 1, &readable, nullptr, nullptr, &at_once));
    });

    cases.add("pselect_lets_a_signal_in", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        sigset_t blocked, none;
        sigemptyset(&none);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
        raise(SIGUSR1);
        fd_set readable = set_of({c.fd});
        const timespec later{.tv_sec = 20, .tv_nsec = 0};
        t.value("pselect", pselect(c.fd + 1, &readable, nullptr, nullptr, &later, &none));
        t.value("signals", handled());
    });

    cases.add("pselect_sees_bytes", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("x");
        fd_set readable = set_of({c.fd});
        const timespec later{.tv_sec = 20, .tv_nsec = 0};
        t.value("pselect", pselect(c.fd + 1, &readable, nullptr, nullptr, &later, nullptr));
        t.value("time is not changed", later.tv_sec);
    });

    cases.add("no_sets_is_a_sleep", [](Case &t) {
        timeval soon{.tv_sec = 0, .tv_usec = 10'000};
        t.value("select", select(0, nullptr, nullptr, nullptr, &soon));
    });
    return cases;
}

}  // namespace sansock::parity
