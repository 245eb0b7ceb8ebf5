#include <csignal>
#include <string>
#include <thread>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

int pending_error(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : -1;
}

void show_poll(Case &t, const char *label, int fd) {
    pollfd entry{.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    const int ready = poll(&entry, 1, 0);
    t.events(label, ready, static_cast<unsigned>(entry.revents));
}

}  // namespace

// How a stream ends out of order: resets, and what each call says before, at and after one.
Subject failures() {
    Subject cases{"failures"};
    cases.add("peer_closes_with_unread_bytes", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "unread", 6, 0));
        t.await("bytes at the peer", [&] { return c.peer.unread().result == 6; });
        c.peer.close();
        t.await(c.fd, POLLERR);
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.value("recv again", recv(c.fd, &byte, 1, 0));
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
    });

    cases.add("close_with_unread_bytes", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("unread");
        t.await_unread(c.fd, 6);
        t.value("close", close(c.fd));
        t.await("the reset", [&] { return (c.peer.poll(0, 0).result & POLLERR) != 0; });
        t.outcome("peer", c.peer.recv(4));
        t.outcome("peer again", c.peer.recv(4));
    });

    cases.add("peer_resets", [](Case &t) {
        const auto c = t.connect();
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_poll(t, "poll", c.fd);
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.value("recv again", recv(c.fd, &byte, 1, 0));
        show_poll(t, "poll", c.fd);
    });

    cases.add("send_after_a_reset", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        c.peer.reset();
        t.await(c.fd, POLLERR);
        t.value("send", send(c.fd, "x", 1, 0));
        t.value("signals", handled());
        t.value("send again", send(c.fd, "x", 1, 0));
        t.value("signals", handled());
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
    });

    cases.add("the_error_is_told_once", [](Case &t) {
        const auto c = t.connect();
        c.peer.reset();
        t.await(c.fd, POLLERR);
        t.says("SO_ERROR", errno_name(pending_error(c.fd)));
        t.says("SO_ERROR again", errno_name(pending_error(c.fd)));
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
    });

    cases.add("bytes_before_a_reset_can_be_read", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("before");
        t.await_unread(c.fd, 6);
        c.peer.reset();
        t.await(c.fd, POLLERR);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
    });

    cases.add("a_reset_wakes_a_reader", [](Case &t) {
        const auto c = t.connect();
        std::thread resetter([&] {
            let_others_block();
            c.peer.reset();
        });
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        resetter.join();
    });

    cases.add("a_reset_wakes_a_writer", [](Case &t) {
        const auto c = t.connect();
        fill(c.fd, 1);
        std::thread resetter([&] {
            let_others_block();
            c.peer.reset();
        });
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
        resetter.join();
    });

    cases.add("a_reset_wakes_poll", [](Case &t) {
        const auto c = t.connect();
        std::thread resetter([&] {
            let_others_block();
            c.peer.reset();
        });
        pollfd entry{.fd = c.fd, .events = 0};
        const int ready = poll(&entry, 1, 20'000);
        resetter.join();
        t.events("poll", ready, static_cast<unsigned>(entry.revents & POLLERR));
    });

    cases.add("reset_by_us", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "lost?", 5, 0));
        t.outcome("peer", c.peer.recv(8));
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        t.value("SO_LINGER", setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
        t.value("close", close(c.fd));
        t.await("the reset", [&] { return (c.peer.poll(0, 0).result & POLLERR) != 0; });
        t.outcome("peer", c.peer.recv(8));
        t.outcome("peer sends", c.peer.send("x"));
    });

    cases.add("send_to_a_peer_that_closed", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        c.peer.close();
        t.await(c.fd, POLLRDHUP);
        t.value("send", send(c.fd, "x", 1, 0));
        t.value("signals", handled());
        t.await(c.fd, POLLERR);
        t.value("send again", send(c.fd, "x", 1, 0));
        t.value("signals", handled());
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
    });

    cases.add("error_of_sending_to_a_peer_that_closed", [](Case &t) {
        const auto c = t.connect();
        c.peer.close();
        t.await(c.fd, POLLRDHUP);
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
        t.await(c.fd, POLLERR);
        t.says("SO_ERROR", errno_name(pending_error(c.fd)));
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
    });

    cases.add("names_after_a_reset", [](Case &t) {
        const auto c = t.connect();
        c.peer.reset();
        t.await(c.fd, POLLERR);
        Address address;
        t.value("getpeername", getpeername(c.fd, address.get(), &address.length));
        address = {};
        t.value("getsockname", getsockname(c.fd, address.get(), &address.length));
        t.value("shutdown", shutdown(c.fd, SHUT_RDWR));
    });

    cases.add("peer_leaves_with_unread_bytes", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "unread", 6, 0));
        t.await("bytes at the peer", [&] { return c.peer.unread().result == 6; });
        t.peer().kill();
        t.await(c.fd, POLLERR);
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
    });

    cases.add("shutdown_with_unread_bytes_is_no_reset", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("unread");
        t.await_unread(c.fd, 6);
        t.value("shutdown", shutdown(c.fd, SHUT_RDWR));
        t.outcome("peer", c.peer.receive_to_end());
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("disconnect", [](Case &t) {
        const auto c = t.connect();
        const sockaddr nowhere{.sa_family = AF_UNSPEC};
        t.value("connect to nowhere", connect(c.fd, &nowhere, sizeof nowhere));
        t.await("the reset", [&] { return (c.peer.poll(0, 0).result & POLLERR) != 0; });
        t.outcome("peer", c.peer.recv(4));
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
    });
    return cases;
}

}  // namespace sansock::parity
