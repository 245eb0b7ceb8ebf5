#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>

#include <csignal>
#include <set>
#include <thread>

#include "epoll_tools.hpp"
#include "subjects.hpp"

namespace sansock::parity {

// Sets as wholes: many sockets, several sets, sets in sets, other descriptors, sleeping and waking.
Subject epoll_sets() {
    Subject cases{"epoll_sets"};
    cases.add("times_out", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        show_wait(t, "at once", set, 0);
        show_wait(t, "after a while", set, 25);
        epoll_event event;
        const timespec soon{.tv_sec = 0, .tv_nsec = 10'000'000};
        t.value("epoll_pwait2", epoll_pwait2(set, &event, 1, &soon, nullptr));
        const timespec wrong{.tv_sec = 0, .tv_nsec = 2'000'000'000};
        t.value("epoll_pwait2 with wrong nanoseconds", epoll_pwait2(set, &event, 1, &wrong, nullptr));
    });

    cases.add("wakes_on_arrival", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        for (int i = 0; i < 5; ++i) {
            std::thread sender([&] {
                let_others_block();
                c.peer.send("x");
            });
            show_wait(t, "wait", set, -1);
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
            sender.join();
        }
    });

    cases.add("wakes_when_a_ready_socket_is_added", [](Case &t) {
        const auto idle = t.connect(), ready = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, idle.fd, EPOLLIN, 1);
        std::thread adder([&] {
            let_others_block();
            control(set, EPOLL_CTL_ADD, ready.fd, EPOLLOUT, 2);
        });
        show_wait(t, "wait", set, -1);
        adder.join();
    });

    cases.add("wakes_when_the_interest_changes", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        std::thread changer([&] {
            let_others_block();
            control(set, EPOLL_CTL_MOD, c.fd, EPOLLOUT, 2);
        });
        show_wait(t, "wait", set, -1);
        changer.join();
    });

    cases.add("other_descriptors_beside", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        const int counter = must("eventfd", eventfd(0, EFD_CLOEXEC));
        const int timer = must("timerfd", timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
        int ends[2];
        must("pipe", pipe(ends));
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        control(set, EPOLL_CTL_ADD, counter, EPOLLIN, 2);
        control(set, EPOLL_CTL_ADD, timer, EPOLLIN, 3);
        control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN, 4);
        show_wait(t, "nothing", set);
        must("eventfd_write", eventfd_write(counter, 1));
        show_wait(t, "counter", set, -1);
        must("write", write(ends[1], "x", 1));
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        show_wait(t, "counter, pipe and socket", set, -1);
        eventfd_t value;
        char byte;
        must("eventfd_read", eventfd_read(counter, &value));
        must("read", read(ends[0], &byte, 1));
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        const itimerspec soon{.it_interval = {}, .it_value = {.tv_sec = 0, .tv_nsec = 10'000'000}};
        must("timerfd_settime", timerfd_settime(timer, 0, &soon, nullptr));
        show_wait(t, "timer", set, -1);
    });

    cases.add("no_room_for_all", [](Case &t) {
        const Connection all[] = {t.connect(), t.connect(), t.connect(), t.connect()};
        const int set = new_epoll();
        std::uint64_t name = 0;
        for (const auto &c : all) {
            c.peer.send("x");
            t.await_unread(c.fd, 1);
            control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, ++name);
        }
        std::set<std::uint64_t> seen;
        for (int i = 0; i < 4; ++i) {
            epoll_event event{};
            t.value("wait for one", epoll_wait(set, &event, 1, 0));
            seen.insert(event.data.u64);
        }
        t.value("all had their turn", static_cast<long>(seen.size()));
        show_wait(t, "wait for all", set);
    });

    cases.add("no_room_for_other_descriptors", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        const int counter = must("eventfd", eventfd(1, EFD_CLOEXEC));
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        control(set, EPOLL_CTL_ADD, counter, EPOLLIN, 2);
        std::set<std::uint64_t> seen;
        for (int i = 0; i < 20 && seen.size() < 2; ++i) {
            epoll_event event{};
            must("epoll_wait", epoll_wait(set, &event, 1, 0));
            seen.insert(event.data.u64);
        }
        t.value("both had their turn", static_cast<long>(seen.size()));
    });

    cases.add("two_sets_with_one_socket", [](Case &t) {
        const auto c = t.connect();
        const int one = new_epoll(), two = new_epoll();
        control(one, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        control(two, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLET, 2);
        c.peer.send("x");
        show_wait(t, "one", one, -1);
        show_wait(t, "two", two, -1);
        show_wait(t, "one again", one);
        show_wait(t, "two not again", two);
        control(one, EPOLL_CTL_DEL, c.fd, 0);
        c.peer.send("y");
        show_wait(t, "two", two, -1);
        show_wait(t, "one", one);
    });

    cases.add("a_set_in_a_set", [](Case &t) {
        const auto c = t.connect();
        const int inner = new_epoll(), outer = new_epoll();
        control(inner, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        t.value("ADD", control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2));
        show_wait(t, "nothing", outer);
        c.peer.send("x");
        show_wait(t, "outer", outer, -1);
        show_wait(t, "inner", inner);
        char byte;
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        show_wait(t, "outer", outer);
        show_wait(t, "inner", inner);
    });

    cases.add("a_set_in_a_set_wakes", [](Case &t) {
        const auto c = t.connect();
        const int inner = new_epoll(), outer = new_epoll();
        control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, 2);
        control(inner, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        std::thread sender([&] {
            let_others_block();
            c.peer.send("x");
        });
        show_wait(t, "outer", outer, -1);
        sender.join();
    });

    cases.add("a_set_under_poll_and_select", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        pollfd entry{.fd = set, .events = POLLIN};
        int ready = poll(&entry, 1, 0);
        t.events("poll of nothing", ready, static_cast<unsigned>(entry.revents));
        std::thread sender([&] {
            let_others_block();
            c.peer.send("x");
        });
        ready = poll(&entry, 1, -1);
        t.events("poll", ready, static_cast<unsigned>(entry.revents));
        sender.join();
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(set, &readable);
        t.value("select", select(set + 1, &readable, nullptr, nullptr, nullptr));
    });

    cases.add("listener_and_connections", [](Case &t) {
        const auto c = t.connect();
        const int listener = listening_socket(AF_INET);
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, listener, EPOLLIN, 1);
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 2);
        show_wait(t, "nothing", set);
        const int client = connected_to(AF_INET, local_port(listener));
        show_wait(t, "someone connects", set, -1);
        const int accepted = must("accept", accept(listener, nullptr, nullptr));
        control(set, EPOLL_CTL_ADD, accepted, EPOLLIN, 3);
        t.warm(client, accepted);
        show_wait(t, "nothing", set);
        t.value("send", send(client, "x", 1, 0));
        c.peer.send("y");
        t.await_unread(c.fd, 1);
        t.await_unread(accepted, 1);
        show_wait(t, "both", set, -1);
    });

    cases.add("a_signal_that_the_mask_lets_in", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN, 1);
        handle(SIGUSR1, SA_RESTART);
        sigset_t blocked, none;
        sigemptyset(&none);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
        raise(SIGUSR1);
        epoll_event event;
        t.value("epoll_pwait", epoll_pwait(set, &event, 1, 20'000, &none));
        t.value("signals", handled());
        t.value("epoll_pwait without a mask", epoll_pwait(set, &event, 1, 0, nullptr));
    });

    cases.add("two_threads_wait_for_one_socket", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLONESHOT, 1);
        std::atomic<int> served = 0;
        const auto serve_one = [&] {
            epoll_event event{};
            if (epoll_wait(set, &event, 1, 200) == 1) {
                char byte;
                served += static_cast<int>(recv(c.fd, &byte, 1, MSG_DONTWAIT));
            }
        };
        std::thread one(serve_one), two(serve_one);
        let_others_block();
        c.peer.send("x");
        one.join();
        two.join();
        t.value("served", served);
    });

    cases.add("many_sockets_few_ready", [](Case &t) {
        std::vector<Connection> all;
        const int set = new_epoll();
        for (std::uint64_t i = 0; i < 60; ++i) {
            all.push_back(t.connect_cold());
            control(set, EPOLL_CTL_ADD, all.back().fd, EPOLLIN, i);
        }
        for (const std::size_t i : {7u, 30u, 59u}) t.warm(all[i]);
        show_wait(t, "nothing", set);
        for (const std::size_t i : {7u, 12u, 59u}) {
            all[i].peer.send("x");
            t.await_unread(all[i].fd, 1);
        }
        show_wait(t, "three", set, -1);
    });

    cases.add("adding_and_removing_for_every_request", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        int right = 0;
        for (int i = 0; i < 200; ++i) {
            c.peer.start_echo(4);
            right += control(set, EPOLL_CTL_ADD, c.fd, EPOLLOUT) == 0;
            epoll_event event{};
            right += epoll_wait(set, &event, 1, -1) == 1 && event.events == EPOLLOUT;
            right += send(c.fd, "ping", 4, 0) == 4;
            right += control(set, EPOLL_CTL_MOD, c.fd, EPOLLIN) == 0;
            right += epoll_wait(set, &event, 1, -1) == 1 && event.events == EPOLLIN;
            right += receive_up_to(c.fd, 4).bytes == "ping";
            right += control(set, EPOLL_CTL_DEL, c.fd, 0) == 0;
            c.peer.finish();
        }
        t.value("right steps", right);
    });

    cases.add("a_wait_begun_before_the_first_byte", [](Case &t) {
        const auto c = t.connect_cold();
        const int set = new_epoll();
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLRDHUP, 1);
        std::thread waiter([&] { show_wait(t, "wait", set, -1); });
        let_others_block();
        t.warm_wherever(c);
        c.peer.shutdown(SHUT_WR);
        waiter.join();
    });

    cases.add("an_event_loop_with_a_checksum", [](Case &t) {
        const auto c = t.connect();
        const int set = new_epoll();
        set_nonblocking(c.fd, true);
        control(set, EPOLL_CTL_ADD, c.fd, EPOLLIN | EPOLLET, 1);
        c.peer.start_send_pattern(4 << 20, 3);
        std::string all;
        char buffer[30'000];
        while (all.size() < 4 << 20) {
            epoll_event event{};
            if (epoll_wait(set, &event, 1, 10'000) != 1) break;
            for (ssize_t n; (n = recv(c.fd, buffer, sizeof buffer, 0)) > 0;) {
                all.append(buffer, static_cast<std::size_t>(n));
            }
        }
        t.says("received", shown(all));
        t.outcome("peer", c.peer.finish());
    });
    return cases;
}

}  // namespace sansock::parity
