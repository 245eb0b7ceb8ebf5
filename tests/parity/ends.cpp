#include <sys/ioctl.h>

#include <csignal>
#include <string>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

void show_poll(Case &t, const char *label, int fd) {
    pollfd entry{.fd = fd, .events = POLLIN | POLLOUT | POLLRDHUP};
    const int ready = poll(&entry, 1, 0);
    t.events(label, ready, static_cast<unsigned>(entry.revents));
}

}  // namespace

// How a stream ends in order: shutdown in its three forms from either end, and close.
Subject ends() {
    Subject cases{"ends"};
    cases.add("peer_shuts_down_writing", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("last");
        c.peer.shutdown(SHUT_WR);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
        t.value("recv again", recv(c.fd, buffer, sizeof buffer, 0));
        t.value("recv DONTWAIT", recv(c.fd, buffer, sizeof buffer, MSG_DONTWAIT));
        show_poll(t, "poll", c.fd);
        t.value("send", send(c.fd, "reply", 5, 0));
        t.outcome("peer", c.peer.recv(8));
    });

    cases.add("shut_down_writing", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        t.value("send", send(c.fd, "last", 4, 0));
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.value("send", send(c.fd, "x", 1, 0));
        t.value("signals", handled());
        t.value("send NOSIGNAL", send(c.fd, "x", 1, MSG_NOSIGNAL));
        t.value("signals", handled());
        t.value("write", write(c.fd, "x", 1));
        t.value("signals", handled());
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.send("reply");
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("empty_send_after_shutdown", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        shutdown(c.fd, SHUT_WR);
        t.value("send of nothing", send(c.fd, "", 0, MSG_NOSIGNAL));
        t.value("write of nothing", write(c.fd, "", 0));
        t.value("signals", handled());
    });

    cases.add("large_reply_after_half_close", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "request", 7, 0));
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.start_send_pattern(3 << 20, 5);
        t.outcome("recv", receive_pattern(c.fd, 3 << 20, 5));
        t.outcome("peer sent", c.peer.finish());
        c.peer.close();
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
    });

    cases.add("large_request_before_half_close", [](Case &t) {
        const auto c = t.connect();
        c.peer.start_receive_pattern(3 << 20, 6);
        t.outcome("send", send_pattern(c.fd, 3 << 20, 6));
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer received", c.peer.finish());
        t.outcome("peer", c.peer.recv(8));
    });

    cases.add("shut_down_reading", [](Case &t) {
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_RD));
        char buffer[8];
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
        t.value("recv DONTWAIT", recv(c.fd, buffer, sizeof buffer, MSG_DONTWAIT));
        show_poll(t, "poll", c.fd);
        t.value("send", send(c.fd, "still", 5, 0));
        t.outcome("peer", c.peer.recv(8));
    });

    cases.add("shut_down_reading_keeps_what_is_unread", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("kept");
        t.await_unread(c.fd, 4);
        t.value("shutdown", shutdown(c.fd, SHUT_RD));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
    });

    cases.add("bytes_after_shut_down_reading", [](Case &t) {
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_RD));
        t.outcome("peer sends", c.peer.send("late"));
        t.await_unread(c.fd, 4);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
    });

    cases.add("shut_down_both", [](Case &t) {
        handle(SIGPIPE, 0);
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_RDWR));
        char buffer[8];
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
        t.value("send", send(c.fd, "x", 1, 0));
        t.value("signals", handled());
        show_poll(t, "poll", c.fd);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("shut_down_both_keeps_what_is_unread", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("kept");
        t.await_unread(c.fd, 4);
        t.value("shutdown", shutdown(c.fd, SHUT_RDWR));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
    });

    cases.add("peer_shuts_down_both", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("last");
        c.peer.shutdown(SHUT_RDWR);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
        show_poll(t, "poll", c.fd);
    });

    cases.add("shut_down_twice", [](Case &t) {
        const auto c = t.connect();
        t.value("writing", shutdown(c.fd, SHUT_WR));
        t.value("writing again", shutdown(c.fd, SHUT_WR));
        t.value("reading", shutdown(c.fd, SHUT_RD));
        t.value("reading again", shutdown(c.fd, SHUT_RD));
        t.value("both", shutdown(c.fd, SHUT_RDWR));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("shut_down_after_both_have", [](Case &t) {
        const auto c = t.connect();
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        c.peer.shutdown(SHUT_WR);
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.await(c.fd, POLLHUP);
        t.value("shutdown again", shutdown(c.fd, SHUT_WR));
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
        t.value("recv", recv(c.fd, &byte, 1, 0));
        show_poll(t, "poll", c.fd);
    });

    cases.add("unknown_way_to_shut_down", [](Case &t) {
        const auto c = t.connect();
        t.value("shutdown 3", shutdown(c.fd, 3));
        t.value("shutdown -1", shutdown(c.fd, -1));
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.recv(4));
    });

    cases.add("both_shut_down_at_once", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("theirs");
        t.value("send", send(c.fd, "ours", 4, 0));
        c.peer.shutdown(SHUT_WR);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("recv", receive_to_end(c.fd));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("peer_closes_after_sending", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("farewell");
        c.peer.close();
        t.outcome("recv", receive_to_end(c.fd));
        show_poll(t, "poll", c.fd);
    });

    cases.add("peer_closes_after_sending_much", [](Case &t) {
        const auto c = t.connect();
        c.peer.start_send_pattern(2 << 20, 8);
        t.outcome("recv", receive_pattern(c.fd, 2 << 20, 8));
        c.peer.finish();
        c.peer.close();
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
    });

    cases.add("close_with_bytes_on_the_way", [](Case &t) {
        const auto c = t.connect();
        const std::size_t sent = fill(c.fd, 9);
        t.value("close", close(c.fd));
        const Outcome got = c.peer.receive_pattern(sent, 9);
        t.value("bytes that the peer lacks", static_cast<long>(sent) - got.result);
        t.outcome("peer", c.peer.recv(4));
    });

    cases.add("close_that_lingers", [](Case &t) {
        const auto c = t.connect();
        const linger wait{.l_onoff = 1, .l_linger = 10};
        t.value("SO_LINGER", setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &wait, sizeof wait));
        const std::size_t sent = fill(c.fd, 10);
        c.peer.start_receive_pattern(sent, 10);
        t.value("close", close(c.fd));
        t.value("bytes that the peer lacks", static_cast<long>(sent) - c.peer.finish().result);
        t.outcome("peer", c.peer.recv(4));
    });

    cases.add("close_after_half_close", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "all", 3, 0));
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.value("close", close(c.fd));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("calls_after_close", [](Case &t) {
        const auto c = t.connect();
        char byte;
        int count;
        t.value("close", close(c.fd));
        t.value("send", send(c.fd, "x", 1, 0));
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.value("read", read(c.fd, &byte, 1));
        t.value("write", write(c.fd, "x", 1));
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.value("ioctl", ioctl(c.fd, FIONREAD, &count));
        t.value("close", close(c.fd));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("names_outlast_the_peer", [](Case &t) {
        const auto c = t.connect();
        c.peer.close();
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        Address address;
        t.value("getpeername", getpeername(c.fd, address.get(), &address.length));
        t.value("getsockname", getsockname(c.fd, address.get(), &address.length));
    });

    cases.add("peer_leaves_without_closing", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("said before");
        t.await_unread(c.fd, 11);
        t.peer().kill();
        t.outcome("recv", receive_to_end(c.fd));
    });

    cases.add("peer_leaves_after_half_close", [](Case &t) {
        const auto c = t.connect();
        c.peer.shutdown(SHUT_WR);
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        t.peer().kill();
        t.await("the reset", [&] {
            send(c.fd, "x", 1, MSG_NOSIGNAL);
            pollfd entry{.fd = c.fd, .events = 0};
            return poll(&entry, 1, 0) == 1;
        });
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
    });
    return cases;
}

}  // namespace sansock::parity
