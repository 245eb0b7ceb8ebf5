#include <sys/epoll.h>
#include <sys/time.h>

#include <thread>

#include "subjects.hpp"

namespace sansock::parity {

namespace {
long milliseconds_of(int fd, int name) {
    timeval time{};
    socklen_t length = sizeof time;
    if (getsockopt(fd, SOL_SOCKET, name, &time, &length) < 0) return -1;
    return time.tv_sec * 1000 + time.tv_usec / 1000;
}
}  // namespace

// SO_RCVTIMEO, SO_SNDTIMEO and SO_RCVLOWAT: waits that are bounded by the socket.
Subject timeouts() {
    Subject cases{"timeouts"};
    cases.add("receive_times_out", [](Case &t) {
        const auto c = t.connect();
        set_timeout(c.fd, SO_RCVTIMEO, 40);
        char buffer[4];
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
        t.value("read", read(c.fd, buffer, sizeof buffer));
        c.peer.send("ab");
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("receive_in_time", [](Case &t) {
        const auto c = t.connect();
        set_timeout(c.fd, SO_RCVTIMEO, 20'000);
        std::thread sender([&] {
            let_others_block();
            c.peer.send("in time");
        });
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        sender.join();
    });

    cases.add("receive_timeout_set_before_any_byte", [](Case &t) {
        const auto c = t.connect_cold();
        set_timeout(c.fd, SO_RCVTIMEO, 2000);
        t.warm(c);
        set_timeout(c.fd, SO_RCVTIMEO, 40);
        char buffer[4];
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
    });

    cases.add("send_times_out", [](Case &t) {
        const auto c = t.connect();
        fill(c.fd, 1);
        set_timeout(c.fd, SO_SNDTIMEO, 40);
        t.value("send", send(c.fd, "x", 1, 0));
    });

    cases.add("send_that_times_out_in_the_middle", [](Case &t) {
        const auto c = t.connect();
        set_timeout(c.fd, SO_SNDTIMEO, 60);
        const std::string bytes(64 << 20, 'x');
        const ssize_t sent = send(c.fd, bytes.data(), bytes.size(), 0);
        t.yes_no("a part was sent", sent > 0 && sent < static_cast<ssize_t>(bytes.size()));
    });

    cases.add("timeouts_are_kept", [](Case &t) {
        const auto c = t.connect();
        t.value("SO_RCVTIMEO at first", milliseconds_of(c.fd, SO_RCVTIMEO));
        set_timeout(c.fd, SO_RCVTIMEO, 1500);
        set_timeout(c.fd, SO_SNDTIMEO, 2500);
        t.value("SO_RCVTIMEO", milliseconds_of(c.fd, SO_RCVTIMEO) / 10);
        t.value("SO_SNDTIMEO", milliseconds_of(c.fd, SO_SNDTIMEO) / 10);
        set_timeout(c.fd, SO_RCVTIMEO, 0);
        t.value("SO_RCVTIMEO", milliseconds_of(c.fd, SO_RCVTIMEO));
    });

    cases.add("timeout_out_of_range", [](Case &t) {
        const auto c = t.connect();
        const timeval wrong{.tv_sec = 1, .tv_usec = 2'000'000};
        t.value("too many microseconds", setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &wrong, sizeof wrong));
        t.value("too short an option", setsockopt(c.fd, SOL_SOCKET, SO_RCVTIMEO, &wrong, 4));
        t.value("SO_RCVTIMEO", milliseconds_of(c.fd, SO_RCVTIMEO));
    });

    cases.add("timeout_does_not_concern_poll", [](Case &t) {
        const auto c = t.connect();
        set_timeout(c.fd, SO_RCVTIMEO, 1);
        std::thread sender([&] {
            let_others_block();
            c.peer.send("x");
        });
        pollfd entry{.fd = c.fd, .events = POLLIN};
        const int ready = poll(&entry, 1, 20'000);
        t.events("poll", ready, static_cast<unsigned>(entry.revents));
        sender.join();
    });

    cases.add("timeout_does_not_concern_a_nonblocking_socket", [](Case &t) {
        const auto c = t.connect();
        set_timeout(c.fd, SO_RCVTIMEO, 20'000);
        char buffer[4];
        t.value("recv DONTWAIT", recv(c.fd, buffer, sizeof buffer, MSG_DONTWAIT));
    });

    cases.add("low_water_mark_holds_back_a_read", [](Case &t) {
        const auto c = t.connect();
        const int mark = 6;
        t.value("SO_RCVLOWAT", setsockopt(c.fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark));
        std::thread sender([&] {
            let_others_block();  // the kernel does not wake a reader that has three of the six bytes already
            c.peer.send("abc");
            let_others_block();
            c.peer.send("def");
        });
        char buffer[16];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        sender.join();
    });

    cases.add("low_water_mark_holds_back_poll", [](Case &t) {
        const auto c = t.connect();
        const int mark = 6;
        t.value("SO_RCVLOWAT", setsockopt(c.fd, SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof mark));
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        pollfd entry{.fd = c.fd, .events = POLLIN};
        int ready = poll(&entry, 1, 0);
        t.events("poll with 3", ready, static_cast<unsigned>(entry.revents));
        c.peer.send("def");
        t.await_unread(c.fd, 6);
        ready = poll(&entry, 1, 0);
        t.events("poll with 6", ready, static_cast<unsigned>(entry.revents));
    });
    return cases;
}

}  // namespace sansock::parity
