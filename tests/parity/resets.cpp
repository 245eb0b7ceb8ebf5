#include <sys/epoll.h>

#include <csignal>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

void show_error(Case &t, int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    t.value("getsockopt", getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));
    t.says("SO_ERROR", errno_name(error));
}

void show_poll(Case &t, const char *label, int fd) {
    pollfd entry{.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    const int ready = poll(&entry, 1, 0);
    t.events(label, ready, static_cast<unsigned>(entry.revents));
}

void show_recv(Case &t, const char *label, int fd, int flags = 0) {
    char buffer[8] = {};
    t.data(label, recv(fd, buffer, sizeof buffer, flags | MSG_DONTWAIT), buffer);
}

void show_send(Case &t, const char *label, int fd) {
    t.value(label, send(fd, "x", 1, 0));
    t.value("signals", handled());
}

/// Every way in which an error could still show that is over and told.
void show_that_nothing_is_left(Case &t, int fd) {
    show_poll(t, "poll after it", fd);
    show_error(t, fd);
    show_recv(t, "peek after it", fd, MSG_PEEK);
    show_recv(t, "recv after it", fd);
    show_send(t, "send after it", fd);
    t.value("shutdown after it", shutdown(fd, SHUT_WR));
    show_poll(t, "poll at last", fd);
}

/// `c` has bytes at the peer which that will never read.
Connection with_bytes_at_the_peer(Case &t) {
    handle(SIGPIPE, 0);
    auto c = t.connect();
    t.value("send", send(c.fd, "unread", 6, 0));
    t.await("bytes at the peer", [&] { return c.peer.unread().result == 6; });
    return c;
}

}  // namespace

// A reset that meets streams of which one or both have ended, and the one call that tells of it.
Subject resets() {
    Subject cases{"resets"};
    cases.add("after_our_own_end_told_by_send", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_poll(t, "poll", c.fd);
        show_send(t, "send", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_our_own_end_told_by_recv", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_recv(t, "recv", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_our_own_end_with_bytes_at_the_peer", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.peer().kill();
        t.await(c.fd, POLLERR);
        show_send(t, "send", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_the_peers_end_told_by_send", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLRDHUP);
        show_recv(t, "recv", c.fd);
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_poll(t, "poll", c.fd);
        show_send(t, "send", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_both_ends", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLHUP);
        c.peer.reset();
        show_that_nothing_is_left(t, c.fd);
        let_others_block();
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_both_ends_ours_the_last", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLRDHUP);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.reset();
        let_others_block();
        show_send(t, "send", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_both_ends_with_bytes_unread", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.send("left");
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLHUP);
        c.peer.reset();
        show_poll(t, "poll", c.fd);
        show_error(t, c.fd);
        show_recv(t, "recv", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_both_ends_with_bytes_at_the_peer", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLHUP);
        t.peer().kill();
        let_others_block();
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_both_ends_seen_by_epoll", [](Case &t) {
        const auto c = t.connect();
        const int set = epoll_create1(0);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLHUP);
        epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.fd = c.fd}};
        t.value("epoll_ctl", epoll_ctl(set, EPOLL_CTL_ADD, c.fd, &event));
        c.peer.reset();
        let_others_block();
        event = {};
        const int ready = epoll_wait(set, &event, 1, 0);
        t.events("epoll_wait", ready, event.events);
    });

    cases.add("after_shutting_down_reading", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_RD));
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_recv(t, "recv", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("after_shutting_down_reading_with_bytes_at_the_peer", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        t.value("shutdown", shutdown(c.fd, SHUT_RD));
        t.peer().kill();
        t.await(c.fd, POLLERR);
        show_recv(t, "recv", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("told_by_send", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        c.peer.close();
        t.await(c.fd, POLLERR);
        show_send(t, "send", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("told_by_recv", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        c.peer.close();
        t.await(c.fd, POLLERR);
        show_recv(t, "recv", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("told_by_peek", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_recv(t, "peek", c.fd, MSG_PEEK);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("told_by_SO_ERROR", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        c.peer.close();
        t.await(c.fd, POLLERR);
        show_error(t, c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("of_the_dead_told_by_send", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        t.peer().kill();
        t.await(c.fd, POLLERR);
        show_send(t, "send", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("of_the_dead_told_by_SO_ERROR", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        t.peer().kill();
        t.await(c.fd, POLLERR);
        show_error(t, c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("of_the_dead_before_shutdown", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        t.peer().kill();
        t.await(c.fd, POLLERR);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        show_recv(t, "recv", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });

    cases.add("bytes_of_the_dead_are_read_before_its_reset", [](Case &t) {
        const auto c = with_bytes_at_the_peer(t);
        c.peer.send("left");
        t.await_unread(c.fd, 4);
        t.peer().kill();
        t.await(c.fd, POLLERR);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        show_recv(t, "recv", c.fd);
        show_recv(t, "recv", c.fd);
        show_that_nothing_is_left(t, c.fd);
    });
    return cases;
}

}  // namespace sansock::parity
