#include <sys/syscall.h>
#include <sys/uio.h>

#include "subjects.hpp"

namespace sansock::parity {

// libc's syscall(): the way around the named functions that runtimes use, above all to close.
Subject raw_calls() {
    Subject cases{"raw_calls"};
    cases.add("close", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "last", 4, 0));
        t.value("close", syscall(SYS_close, c.fd));
        t.outcome("peer", c.peer.receive_to_end());
        t.value("close again", syscall(SYS_close, c.fd));
    });

    cases.add("close_and_use_the_number_again", [](Case &t) {
        for (int i = 0; i < 5; ++i) {
            const auto c = t.connect();
            t.value("send", send(c.fd, "ping", 4, 0));
            t.outcome("peer", c.peer.recv(8));
            t.value("close", syscall(SYS_close, c.fd));
            t.outcome("peer", c.peer.receive_to_end());
        }
    });

    cases.add("read_and_write", [](Case &t) {
        const auto c = t.connect();
        char buffer[8];
        t.value("write", syscall(SYS_write, c.fd, "raw", 3L));
        t.outcome("peer", c.peer.recv(8));
        c.peer.send("back");
        t.await_unread(c.fd, 4);
        t.data("read", syscall(SYS_read, c.fd, buffer, sizeof buffer), buffer);
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.recv(8));
    });

    cases.add("send_and_receive", [](Case &t) {
        const auto c = t.connect();
        char buffer[8];
        t.value("sendto", syscall(SYS_sendto, c.fd, "raw", 3L, MSG_NOSIGNAL, nullptr, 0));
        t.outcome("peer", c.peer.recv(8));
        c.peer.send("back");
        t.await_unread(c.fd, 4);
        t.data("recvfrom", syscall(SYS_recvfrom, c.fd, buffer, sizeof buffer, MSG_PEEK, nullptr, nullptr), buffer);
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("vectors", [](Case &t) {
        const auto c = t.connect();
        const iovec parts[] = {{const_cast<char *>("ra"), 2}, {const_cast<char *>("w"), 1}};
        t.value("writev", syscall(SYS_writev, c.fd, parts, 2L));
        t.outcome("peer", c.peer.receive_up_to(3));
    });

    cases.add("shutdown_and_dup", [](Case &t) {
        const auto c = t.connect();
        const auto copy = static_cast<int>(syscall(SYS_dup, c.fd));
        t.yes_no("dup", copy >= 0);
        t.value("send by the copy", send(copy, "copy", 4, 0));
        t.outcome("peer", c.peer.recv(8));
        t.value("close of the original", close(c.fd));
        t.value("send by the copy", send(copy, "copy", 4, 0));
        t.outcome("peer", c.peer.recv(8));
        t.value("shutdown", syscall(SYS_shutdown, copy, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("poll", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        pollfd entry{.fd = c.fd, .events = POLLIN};
        const long ready = syscall(SYS_poll, &entry, 1L, 5000L);
        t.events("poll", ready, static_cast<unsigned>(entry.revents));
    });

    cases.add("calls_without_descriptors", [](Case &t) {
        t.yes_no("getpid", syscall(SYS_getpid) == getpid());
        t.value("an unknown number", syscall(100'000));
    });
    return cases;
}

}  // namespace sansock::parity
