#include <sys/ioctl.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "subjects.hpp"

namespace sansock::parity {

// The flags of send and recv.
Subject flags() {
    Subject cases{"flags"};
    cases.add("peek_leaves_the_bytes", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("hello");
        t.await_unread(c.fd, 5);
        char buffer[8];
        t.data("peek 3", recv(c.fd, buffer, 3, MSG_PEEK), buffer);
        t.data("peek 8", recv(c.fd, buffer, 8, MSG_PEEK), buffer);
        t.data("recv 2", recv(c.fd, buffer, 2, 0), buffer);
        t.data("peek 8", recv(c.fd, buffer, 8, MSG_PEEK), buffer);
        t.data("recv 8", recv(c.fd, buffer, 8, 0), buffer);
        t.value("peek nothing", recv(c.fd, buffer, 8, MSG_PEEK | MSG_DONTWAIT));
    });

    cases.add("peek_blocks_until_there_is_something", [](Case &t) {
        const auto c = t.connect();
        std::thread sender([&] {
            let_others_block();
            c.peer.send("late");
        });
        char buffer[8];
        t.data("peek", recv(c.fd, buffer, sizeof buffer, MSG_PEEK), buffer);
        sender.join();
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("peek_across_several_sends", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("one ");
        c.peer.send("two ");
        c.peer.send("three");
        t.await_unread(c.fd, 13);
        char buffer[32];
        t.data("peek", recv(c.fd, buffer, sizeof buffer, MSG_PEEK), buffer);
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("peek_at_the_end", [](Case &t) {
        const auto c = t.connect();
        c.peer.shutdown(SHUT_WR);
        char buffer[8];
        t.value("peek", recv(c.fd, buffer, sizeof buffer, MSG_PEEK));
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
    });

    cases.add("waitall_waits_for_all", [](Case &t) {
        const auto c = t.connect();
        std::thread sender([&] {
            for (const char *part : {"ab", "cd", "ef"}) {
                c.peer.send(part);
                let_others_block();
            }
        });
        char buffer[6];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL), buffer);
        sender.join();
    });

    cases.add("waitall_is_cut_short_by_the_end", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abc");
        c.peer.shutdown(SHUT_WR);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL));
    });

    cases.add("waitall_with_dontwait", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL | MSG_DONTWAIT), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL | MSG_DONTWAIT));
    });

    cases.add("waitall_on_a_nonblocking_socket", [](Case &t) {
        const auto c = t.connect();
        set_nonblocking(c.fd, true);
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL), buffer);
    });

    cases.add("waitall_is_cut_short_by_the_timeout", [](Case &t) {
        const auto c = t.connect();
        set_timeout(c.fd, SO_RCVTIMEO, 50);
        c.peer.send("abc");
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL));
    });

    cases.add("waitall_with_peek", [](Case &t) {
        const auto c = t.connect();
        std::thread sender([&] {
            for (const char *part : {"ab", "cd"}) {
                c.peer.send(part);
                let_others_block();
            }
        });
        char buffer[4];
        t.data("peek", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL | MSG_PEEK), buffer);
        sender.join();
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("trunc_discards", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcdefgh");
        t.await_unread(c.fd, 8);
        char buffer[9] = "........";
        t.value("recv 3 TRUNC", recv(c.fd, buffer, 3, MSG_TRUNC));
        t.says("the buffer", buffer);
        t.value("recv 2 TRUNC without a buffer", recv(c.fd, nullptr, 2, MSG_TRUNC));
        t.data("recv", recv(c.fd, buffer, 8, 0), buffer);
    });

    cases.add("trunc_with_peek", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcdefgh");
        t.await_unread(c.fd, 8);
        char buffer[9] = "........";
        t.value("recv TRUNC|PEEK", recv(c.fd, buffer, 8, MSG_TRUNC | MSG_PEEK));
        t.says("the buffer", buffer);
        t.data("recv", recv(c.fd, buffer, 8, 0), buffer);
    });

    cases.add("dontwait_beside_a_blocking_socket", [](Case &t) {
        const auto c = t.connect();
        char buffer[4];
        t.value("recv", recv(c.fd, buffer, sizeof buffer, MSG_DONTWAIT));
        c.peer.send("ab");
        t.await_unread(c.fd, 2);
        t.data("recv", recv(c.fd, buffer, sizeof buffer, MSG_DONTWAIT), buffer);
    });

    cases.add("more_arrives_with_what_follows", [](Case &t) {
        const auto c = t.connect();
        t.value("send MORE", send(c.fd, "head ", 5, MSG_MORE));
        t.value("send MORE", send(c.fd, "body ", 5, MSG_MORE | MSG_NOSIGNAL));
        t.value("send", send(c.fd, "tail", 4, 0));
        t.outcome("peer", c.peer.receive_up_to(14));
    });

    cases.add("more_arrives_by_itself", [](Case &t) {
        const auto c = t.connect();
        t.value("send MORE", send(c.fd, "alone", 5, MSG_MORE));
        t.outcome("peer", c.peer.receive_up_to(5));
    });

    cases.add("more_before_the_end", [](Case &t) {
        const auto c = t.connect();
        t.value("send MORE", send(c.fd, "last", 4, MSG_MORE));
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("record_marks_mean_nothing", [](Case &t) {
        const auto c = t.connect();
        t.value("send EOR", send(c.fd, "ab", 2, MSG_EOR));
        t.value("send CONFIRM", send(c.fd, "cd", 2, MSG_CONFIRM));
        t.value("send DONTROUTE", send(c.fd, "ef", 2, MSG_DONTROUTE));
        t.outcome("peer", c.peer.receive_up_to(6));
    });

    cases.add("unknown_flags_mean_nothing", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "ab", 2, 0x800000));
        t.outcome("peer", c.peer.receive_up_to(2));
        c.peer.send("cd");
        t.await_unread(c.fd, 2);
        char buffer[4];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0x800000), buffer);
    });

    cases.add("error_queue_is_empty", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        char buffer[4];
        t.value("recv ERRQUEUE", recv(c.fd, buffer, sizeof buffer, MSG_ERRQUEUE));
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("urgent_byte_apart", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("before");
        c.peer.send("!", MSG_OOB);
        c.peer.send("after");
        t.await(c.fd, POLLPRI);
        t.await("the stream", [&] { return c.peer.poll(POLLOUT, 0).result != 0; });
        char buffer[16];
        t.data("recv OOB", recv(c.fd, buffer, sizeof buffer, MSG_OOB), buffer);
        t.data("recv up to the mark", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("sockatmark", sockatmark(c.fd));
        t.data("recv behind the mark", recv(c.fd, buffer, 5, MSG_WAITALL), buffer);
        t.value("sockatmark", sockatmark(c.fd));
    });

    cases.add("urgent_byte_sent", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "ab", 2, 0));
        t.value("send OOB", send(c.fd, "cd!", 3, MSG_OOB));
        t.value("send", send(c.fd, "ef", 2, 0));
        t.await("urgent at the peer", [&] { return c.peer.poll(POLLPRI, 0).result == POLLPRI; });
        t.outcome("peer OOB", c.peer.recv(4, MSG_OOB));
        t.outcome("peer up to the mark", c.peer.recv(16));
        t.outcome("peer behind the mark", c.peer.receive_up_to(2));
    });

    cases.add("urgent_byte_in_line", [](Case &t) {
        const auto c = t.connect();
        const int on = 1;
        t.value("SO_OOBINLINE", setsockopt(c.fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
        c.peer.send("a");
        c.peer.send("!", MSG_OOB);
        t.await(c.fd, POLLPRI);
        char buffer[16];
        t.value("recv OOB", recv(c.fd, buffer, sizeof buffer, MSG_OOB));
        t.data("recv up to the mark", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("sockatmark", sockatmark(c.fd));
        t.data("recv the urgent byte", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("no_urgent_byte", [](Case &t) {
        const auto c = t.connect();
        char buffer[4];
        t.value("recv OOB", recv(c.fd, buffer, sizeof buffer, MSG_OOB));
        t.value("sockatmark", sockatmark(c.fd));
        c.peer.send("on");
        t.await_unread(c.fd, 2);
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });
    return cases;
}

}  // namespace sansock::parity
