#include <fcntl.h>
#include <sys/mman.h>

#include "epoll_tools.hpp"
#include "subjects.hpp"

namespace sansock::parity {

// epoll_create and epoll_ctl: what may be added, changed and removed, and who forgets what when descriptors close.
Subject epoll_control() {
    Subject cases{"epoll_control"};
    cases.add("add_twice", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        t.value("ADD", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1));
        t.value("ADD again", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 2));
        c.peer.send("x");
        show_wait(t, "wait", set, -1);
    });

    cases.add("change_and_remove_what_is_not_there", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        t.value("MOD", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN));
        t.value("DEL", control(set, EPOLL_CTL_DEL, c.fd, 0));
        t.value("ADD", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN));
        t.value("DEL", epoll_ctl(set, EPOLL_CTL_DEL, c.fd, nullptr));
        t.value("DEL again", epoll_ctl(set, EPOLL_CTL_DEL, c.fd, nullptr));
        t.value("ADD again", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN));
    });

    cases.add("wrong_arguments", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        const int file = must("memfd", memfd_create("parity", 0));
        t.value("a file", control(set, EPOLL_CTL_ADD, file, EPOLLIN));
        t.value("itself", control(set, EPOLL_CTL_ADD, set, EPOLLIN));
        t.value("closed", control(set, EPOLL_CTL_ADD, 999, EPOLLIN));
        t.value("not a set", control(c.fd, EPOLL_CTL_ADD, c.fd, EPOLLIN));
        t.value("not a set", control(c.fd, EPOLL_CTL_ADD, file, EPOLLIN));
        t.value("closed set", control(999, EPOLL_CTL_ADD, c.fd, EPOLLIN));
        t.value("unknown operation", control(set, 9, c.fd, EPOLLIN));
        t.value("bad pointer", epoll_ctl(set, EPOLL_CTL_ADD, c.fd, reinterpret_cast<epoll_event *>(8)));
        t.value("create of no size", epoll_create(0));
        t.value("create1 with unknown flags", epoll_create1(1));
    });

    cases.add("wrong_arguments_of_wait", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLOUT);
        epoll_event events[2];
        t.value("no room", epoll_wait(set, events, 0, 0));
        t.value("negative room", epoll_wait(set, events, -1, 0));
        t.value("not a set", epoll_wait(c.fd, events, 2, 0));
        t.value("closed", epoll_wait(999, events, 2, 0));
        t.value("bad pointer", epoll_wait(set, reinterpret_cast<epoll_event *>(8), 1, 0));
        show_wait(t, "wait", set);
    });

    cases.add("loops", [](Case &t) {
        const int one = new_epoll(), two = new_epoll(), three = new_epoll();
        t.value("one holds two", control(one, EPOLL_CTL_ADD, two, EPOLLIN));
        t.value("two holds three", control(two, EPOLL_CTL_ADD, three, EPOLLIN));
        t.value("three holds one", control(three, EPOLL_CTL_ADD, one, EPOLLIN));
    });

    cases.add("exclusive_rules", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        t.value("ADD EXCLUSIVE|ONESHOT", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT));
        t.value("ADD EXCLUSIVE|RDHUP", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLRDHUP | EPOLLEXCLUSIVE));
        t.value("ADD EXCLUSIVE", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLEXCLUSIVE, 5));
        t.value("MOD of an exclusive", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN));
        t.value("MOD to EXCLUSIVE", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN | EPOLLEXCLUSIVE));
        c.peer.send("x");
        show_wait(t, "wait", set, -1);
        const int other = new_epoll();
        t.value("an epoll, exclusively", control(set, EPOLL_CTL_ADD, other, EPOLLIN | EPOLLEXCLUSIVE));
    });

    cases.add("change_of_interest", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        show_wait(t, "IN", set);
        t.value("MOD to IN|OUT", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN | EPOLLOUT, 2));
        show_wait(t, "IN|OUT", set);
        t.value("MOD to IN", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN, 3));
        show_wait(t, "IN", set);
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        show_wait(t, "IN", set);
        t.value("MOD to nothing", control(set, EPOLL_CTL_MOD, c.fd, 0, 4));
        show_wait(t, "nothing", set);
        t.value("MOD to IN", control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN, 5));
        show_wait(t, "IN", set);
    });

    cases.add("change_of_data_alone", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        constexpr std::uint64_t kWide = 0xfedcba9876543210u;
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLOUT, 1);
        show_wait(t, "wait", set);
        control(set, EPOLL_CTL_MOD, c.fd, EPOLLOUT, kWide);
        show_wait(t, "wait", set);
    });

    cases.add("close_removes", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLOUT, 1);
        show_wait(t, "before", set);
        close(c.fd);
        show_wait(t, "after", set);
        t.value("DEL", epoll_ctl(set, EPOLL_CTL_DEL, c.fd, nullptr));
    });

    cases.add("close_of_one_copy_does_not_remove", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        const int copy = dup(c.fd);
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLOUT, 1);
        close(c.fd);
        show_wait(t, "after", set);
        t.value("DEL by the closed number", epoll_ctl(set, EPOLL_CTL_DEL, c.fd, nullptr));
        t.value("DEL by the copy", epoll_ctl(set, EPOLL_CTL_DEL, copy, nullptr));
        c.peer.send("x");
        t.await_unread(copy, 1);
        show_wait(t, "still", set);
        close(copy);
        show_wait(t, "after the copy", set);
    });

    cases.add("copies_are_separate_entries", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        const int copy = dup(c.fd);
        t.value("ADD", control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1));
        t.value("ADD of the copy", control(set, EPOLL_CTL_ADD, copy, EPOLLIN | EPOLLOUT, 2));
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        show_wait(t, "both", set);
        t.value("DEL of the copy", epoll_ctl(set, EPOLL_CTL_DEL, copy, nullptr));
        show_wait(t, "one", set);
    });

    cases.add("a_number_used_again", [](Case &t) {
        constexpr int kNumber = 140;  // which nobody else takes meanwhile
        const auto old = t.connect();
        const int set = new_epoll();
        must("dup2", dup2(old.fd, kNumber));
        close(old.fd);
        control(set, EPOLL_CTL_ADD, kNumber, EPOLLIN, 1);
        close(kNumber);
        const auto c = t.connect();
        must("dup2", dup2(c.fd, kNumber));
        t.value("DEL of the new", epoll_ctl(set, EPOLL_CTL_DEL, kNumber, nullptr));
        t.value("ADD of the new", control(set, EPOLL_CTL_ADD, kNumber, EPOLLIN, 2));
        c.peer.send("x");
        show_wait(t, "wait", set, -1);
    });

    cases.add("dup2_over_an_entry_removes_it", [](Case &t) {
        const auto one = t.connect(), two = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, two.fd, EPOLLIN | EPOLLOUT, 2);
        must("dup2", dup2(one.fd, two.fd));
        show_wait(t, "wait", set);
        t.value("ADD", control(set, EPOLL_CTL_ADD, two.fd, EPOLLOUT, 3));
        show_wait(t, "wait", set);
    });

    cases.add("close_of_the_set", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        t.value("close", close(set));
        epoll_event event;
        t.value("wait", epoll_wait(set, &event, 1, 0));
        const int again = new_epoll();
        t.yes_no("the same number", again == set);
        show_wait(t, "the new one is empty", again);
        c.peer.send("x");
        char byte;
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
    });

    cases.add("copy_of_the_set", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        const int copy = dup(set);
        t.value("ADD", control(set, EPOLL_CTL_ADD, c.fd, EPOLLOUT, 1));
        t.value("ADD by the copy", control(copy, EPOLL_CTL_ADD, c.fd, EPOLLOUT, 1));
        show_wait(t, "wait on the copy", copy);
        close(set);
        show_wait(t, "wait on the copy alone", copy);
        t.value("MOD", control(copy, EPOLL_CTL_MOD, c.fd, EPOLLIN, 2));
        c.peer.send("x");
        show_wait(t, "wait", copy, -1);
    });

    cases.add("flags_of_the_set", [](Case &t) {
        const int set = new_epoll();
        t.value("F_GETFD", fcntl(set, F_GETFD));
        const int plain = must("epoll_create", epoll_create(5));
        t.value("F_GETFD of epoll_create", fcntl(plain, F_GETFD));
        char byte;
        t.value("read", read(set, &byte, 1));
        t.value("write", write(set, "x", 1));
    });
    return cases;
}

}  // namespace sansock::parity
