#include <cstdlib>
#include <thread>

#include "epoll_tools.hpp"
#include "subjects.hpp"

namespace sansock::parity {

// Level, edge and one-shot: when an event is told, and when again.
Subject epoll_triggers() {
    Subject cases{"epoll_triggers"};
    cases.add("level_repeats", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        show_wait(t, "nothing", set);
        c.peer.send("ab");
        show_wait(t, "arrival", set, -1);
        show_wait(t, "again", set);
        char byte;
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        show_wait(t, "one left", set);
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        show_wait(t, "none left", set);
    });

    cases.add("edge_tells_once", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLET, 1);
        show_wait(t, "nothing", set);
        c.peer.send("ab");
        show_wait(t, "arrival", set, -1);
        show_wait(t, "not again", set);
        c.peer.send("cd");
        show_wait(t, "next arrival", set, -1);
        show_wait(t, "not again", set);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, 2, 0), buffer);
        show_wait(t, "reading is no event", set);
    });

    // Armed again after every event, while the connection leaves TCP.
    cases.add("one_shot_from_the_first_byte_on", [](Case &t) {
        constexpr int kRounds = 200;
        const auto c = t.connect_cold();
        std::thread other([&] {
            for (int i = 0; i < kRounds; ++i) {
                c.peer.send("x");
                if (c.peer.recv(1).result != 1) return;
            }
        });
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLONESHOT, 1);
        int rounds = 0;
        char byte;
        epoll_event event{};
        while (rounds < kRounds && epoll_wait(set, &event, 1, 5000) == 1 && recv(c.fd, &byte, 1, 0) == 1 && send(c.fd, "y", 1, 0) == 1 &&
               control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN | EPOLLONESHOT, 1) == 0) {
            ++rounds;
        }
        t.value("rounds", rounds);
        if (rounds < kRounds) shutdown(c.fd, SHUT_RDWR);
        other.join();
    });

    cases.add("after_another_program_was_started", [](Case &t) {
        const auto one = t.connect(), two = t.connect(), three = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, one.fd, EPOLLIN, 1);
        control(set, EPOLL_CTL_ADD, two.fd, EPOLLIN | EPOLLET, 2);
        control(set, EPOLL_CTL_ADD, three.fd, EPOLLIN | EPOLLONESHOT, 3);
        show_wait(t, "nothing", set);
        t.value("system", system("true"));
        for (const Connection &c : {one, two, three}) {
            c.peer.send("x");
            show_wait(t, "arrival", set, 5000);
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        }
        show_wait(t, "nothing", set);
        control(set, EPOLL_CTL_MOD, three.fd, EPOLLIN | EPOLLONESHOT, 3);
        three.peer.send("y");
        show_wait(t, "armed again", set, 5000);
    });

    cases.add("registered_under_a_number_that_is_gone", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        const int copy = dup(c.fd);
        t.value("close", close(c.fd));
        const auto other = t.connect();  // may get the number
        t.value("ADD", control(set, EPOLL_CTL_ADD, other.fd, EPOLLIN, 2));
        c.peer.send("x");
        show_wait(t, "arrival", set, 5000);
        char byte;
        t.data("recv", recv(copy, &byte, 1, 0), &byte);
        t.value("close", close(copy));
        other.peer.send("y");
        show_wait(t, "arrival", set, 5000);
    });

    cases.add("edge_of_what_is_there_already", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        c.peer.send("ab");
        t.await_unread(c.fd, 2);
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLET, 1);
        show_wait(t, "at once", set);
        show_wait(t, "not again", set);
    });

    cases.add("edge_is_told_again_after_a_change", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLET, 1);
        c.peer.send("ab");
        show_wait(t, "arrival", set, -1);
        t.value("MOD", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN | EPOLLET, 2));
        show_wait(t, "again", set);
        show_wait(t, "not again", set);
    });

    cases.add("edge_in_both_directions", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1);
        show_wait(t, "room", set);
        show_wait(t, "not again", set);
        c.peer.send("ab");
        show_wait(t, "arrival", set, -1);
        show_wait(t, "not again", set);
        t.value("send", send(c.fd, "x", 1, 0));
        t.outcome("peer", c.peer.recv(4));
        char buffer[4];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLRDHUP);
        show_wait(t, "the end", set, -1);
        show_wait(t, "not again", set);
    });

    cases.add("edge_of_room", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLOUT | EPOLLET, 1);
        show_wait(t, "room", set);
        const std::size_t sent = fill(c.fd, 1);
        show_wait(t, "full", set);
        t.yes_no("the peer read all", c.peer.receive_pattern(sent, 1).result == static_cast<long>(sent));
        show_wait(t, "room again", set, -1);
    });

    cases.add("level_of_room", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        const std::size_t sent = fill(c.fd, 1);
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLOUT, 1);
        show_wait(t, "full", set);
        c.peer.start_receive_pattern(sent, 1);
        show_wait(t, "room", set, -1);
        c.peer.finish();
        show_wait(t, "again", set);
    });

    cases.add("edge_across_the_first_messages", [](Case &t) {
        const auto c = t.connect_cold();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLET, 1);
        t.warm(c);
        show_wait(t, "what the first messages left", set, 0);
        show_wait(t, "not again", set);
        for (int i = 0; i < 4; ++i) {
            c.peer.send("x");
            show_wait(t, "arrival", set, -1);
            show_wait(t, "not again", set);
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        }
    });

    cases.add("level_across_the_first_messages", [](Case &t) {
        const auto c = t.connect_cold();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        t.warm(c);
        show_wait(t, "nothing", set);
        for (int i = 0; i < 4; ++i) {
            c.peer.send("x");
            show_wait(t, "arrival", set, -1);
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
            show_wait(t, "nothing", set);
        }
    });

    cases.add("one_shot", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLONESHOT, 1);
        c.peer.send("ab");
        show_wait(t, "arrival", set, -1);
        show_wait(t, "not again", set);
        c.peer.send("cd");
        t.await_unread(c.fd, 4);
        show_wait(t, "nor the next", set);
        t.value("MOD", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN | EPOLLONESHOT, 2));
        show_wait(t, "armed again", set);
        show_wait(t, "not again", set);
        t.value("ADD", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN));
    });

    cases.add("one_shot_hides_the_end_too", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLONESHOT, 1);
        c.peer.send("a");
        show_wait(t, "arrival", set, -1);
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_wait(t, "nothing", set);
        t.value("MOD", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, 2));
        show_wait(t, "armed again", set);
    });

    cases.add("edge_and_one_shot", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        constexpr std::uint32_t kEvents = EPOLLIN | EPOLLRDHUP | EPOLLET | EPOLLONESHOT;
        control(set, EPOLL_CTL_ADD, c.fd, kEvents, 1);
        for (int i = 0; i < 3; ++i) {
            c.peer.send("x");
            show_wait(t, "arrival", set, -1);
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
            t.value("MOD", control(set, EPOLL_CTL_MOD, c.fd, kEvents, 1));
            show_wait(t, "nothing", set);
        }
    });

    cases.add("the_end_unasked", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, 0, 1);
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLRDHUP);
        show_wait(t, "half", set);
        shutdown(c.fd, SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
        t.await(c.fd, POLLHUP);
        show_wait(t, "whole", set, -1);
    });

    cases.add("a_reset_unasked", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLET, 1);
        c.peer.reset();
        t.await(c.fd, POLLERR);
        show_wait(t, "reset", set, -1);
        show_wait(t, "not again", set);
    });

    cases.add("half_close_as_an_event", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLRDHUP, 1);
        c.peer.send("bytes are no event here");
        t.await_unread(c.fd, 23);
        show_wait(t, "nothing", set);
        c.peer.shutdown(SHUT_WR);
        show_wait(t, "half-close", set, -1);
        show_wait(t, "again", set);
    });

    // With nothing else that changes: what was told last is told again, for it now means the end.
    cases.add("edge_of_a_half_close", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLET, 1);
        c.peer.send("last");
        show_wait(t, "arrival", set, 5000);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, MSG_DONTWAIT));
        c.peer.shutdown(SHUT_WR);
        show_wait(t, "the end", set, 5000);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, MSG_DONTWAIT));
        show_wait(t, "not again", set);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        show_wait(t, "our end", set);
    });

    cases.add("edge_of_our_own_ends", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLOUT | EPOLLET, 1);
        show_wait(t, "room", set);
        show_wait(t, "nothing", set);
        t.value("shutdown", shutdown(c.fd, SHUT_RD));
        show_wait(t, "no more to read", set);
        show_wait(t, "nothing", set);
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        show_wait(t, "no more to write", set);
    });

    cases.add("urgent_as_an_event", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLPRI, 1);
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        show_wait(t, "nothing", set);
        c.peer.send("!", MSG_OOB);
        show_wait(t, "urgent", set, -1);
    });

    cases.add("other_events_by_their_names", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLRDNORM | EPOLLWRNORM | EPOLLRDBAND | EPOLLWRBAND, 1);
        show_wait(t, "idle", set);
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        show_wait(t, "arrival", set);
    });
    return cases;
}

}  // namespace sansock::parity
