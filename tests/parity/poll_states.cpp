#include <sys/epoll.h>
#include <sys/select.h>

#include <string>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

void show_select(Case &t, int fd) {
    fd_set readable, writable, exceptional;
    for (fd_set *set : {&readable, &writable, &exceptional}) {
        FD_ZERO(set);
        FD_SET(fd, set);
    }
    timeval at_once{};
    const int ready = select(fd + 1, &readable, &writable, &exceptional, &at_once);
    t.says("select", std::to_string(ready) + (FD_ISSET(fd, &readable) ? " readable" : "") + (FD_ISSET(fd, &writable) ? " writable" : "") +
                         (FD_ISSET(fd, &exceptional) ? " exceptional" : ""));
}

void show_epoll(Case &t, int fd) {
    const int set = must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
    epoll_event interest{.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP, .data = {.fd = fd}};
    must("EPOLL_CTL_ADD", epoll_ctl(set, EPOLL_CTL_ADD, fd, &interest));
    epoll_event event{};
    const int ready = epoll_wait(set, &event, 1, 0);
    t.events("epoll", ready, ready == 1 ? event.events : 0);
    close(set);
}

/// What every kind of waiting says of one socket at one moment.
void show_all(Case &t, const char *state, int fd) {
    t.says("state", state);
    constexpr short kAll = POLLIN | POLLOUT | POLLPRI | POLLRDHUP | POLLRDNORM | POLLWRNORM | POLLRDBAND | POLLWRBAND;
    for (const short events : {kAll, static_cast<short>(POLLIN), static_cast<short>(POLLOUT), short{0}}) {
        pollfd entry{.fd = fd, .events = events};
        const int ready = poll(&entry, 1, 0);
        t.events("poll for " + event_names(static_cast<unsigned>(events)), ready, static_cast<unsigned>(entry.revents));
    }
    show_select(t, fd);
    show_epoll(t, fd);
}

}  // namespace

// Every state that a connection can be in, as poll, select and a fresh epoll see it.
Subject poll_states() {
    Subject cases{"states"};
    cases.add("idle", [](Case &t) {
        const auto c = t.connect();
        show_all(t, "idle", c.fd);
    });

    cases.add("bytes_unread", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        show_all(t, "bytes unread", c.fd);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, 2, 0), buffer);
        show_all(t, "fewer unread", c.fd);
        t.data("recv", recv(c.fd, buffer, 2, 0), buffer);
        show_all(t, "none unread", c.fd);
    });

    cases.add("send_queue_full", [](Case &t) {
        const auto c = t.connect();
        const std::size_t sent = fill(c.fd, 1);
        show_all(t, "full", c.fd);
        c.peer.receive_pattern(sent, 1);
        t.await(c.fd, POLLOUT);
        show_all(t, "emptied", c.fd);
    });

    cases.add("full_and_unread", [](Case &t) {
        const auto c = t.connect();
        fill(c.fd, 1);
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        show_all(t, "full and unread", c.fd);
    });

    cases.add("peer_shut_down", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abc");
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLRDHUP);
        show_all(t, "bytes, then the end", c.fd);
        t.outcome("recv", receive_to_end(c.fd));
        show_all(t, "the end", c.fd);
    });

    cases.add("peer_closed", [](Case &t) {
        const auto c = t.connect();
        c.peer.close();
        t.await(c.fd, POLLRDHUP);
        show_all(t, "peer closed", c.fd);
    });

    cases.add("shut_down_writing", [](Case &t) {
        const auto c = t.connect();
        shutdown(c.fd, SHUT_WR);
        show_all(t, "shut down for writing", c.fd);
    });

    cases.add("shut_down_reading", [](Case &t) {
        const auto c = t.connect();
        shutdown(c.fd, SHUT_RD);
        show_all(t, "shut down for reading", c.fd);
    });

    cases.add("shut_down_both", [](Case &t) {
        const auto c = t.connect();
        shutdown(c.fd, SHUT_RDWR);
        show_all(t, "shut down", c.fd);
    });

    cases.add("both_have_shut_down", [](Case &t) {
        const auto c = t.connect();
        shutdown(c.fd, SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLHUP);
        show_all(t, "over", c.fd);
    });

    cases.add("reset", [](Case &t) {
        const auto c = t.connect();
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_all(t, "reset", c.fd);
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        show_all(t, "reset and told", c.fd);
    });

    cases.add("reset_with_bytes_unread", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_all(t, "reset behind bytes", c.fd);
    });

    cases.add("urgent", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("!", MSG_OOB);
        t.await(c.fd, POLLPRI);
        show_all(t, "urgent byte", c.fd);
        char byte;
        t.data("recv OOB", recv(c.fd, &byte, 1, MSG_OOB), &byte);
        show_all(t, "urgent byte read", c.fd);
    });
    return cases;
}

}  // namespace sansock::parity
