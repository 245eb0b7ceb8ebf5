#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>

#include <atomic>
#include <csignal>
#include <string>
#include <thread>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

Outcome receive_one(int fd) {
    char byte;
    return Outcome::of(recv(fd, &byte, 1, 0));
}

/// Signals with SA_RESTART must not end a call: sends some to `thread`, then lets `release` end it.
void pester(std::thread &thread, const std::function<void()> &release) {
    for (int i = 0; i < 10; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
        pthread_kill(thread.native_handle(), SIGUSR1);
    }
    release();
    thread.join();
}

}  // namespace

// Signals that arrive while a call sleeps.
Subject interruptions() {
    Subject cases{"interruptions"};
    cases.add("receive", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, 0);
        t.outcome("recv", interrupted(SIGUSR1, [&] { return receive_one(c.fd); }));
        t.yes_no("the handler ran", handled() > 0);
        c.peer.send("x");
        t.outcome("recv", receive_one(c.fd));
    });

    cases.add("as_siginterrupt_says", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        t.value("siginterrupt", siginterrupt(SIGUSR1, 1));
        t.outcome("recv", interrupted(SIGUSR1, [&] { return receive_one(c.fd); }));
        t.yes_no("the handler ran", handled() > 0);
        t.value("siginterrupt", siginterrupt(SIGUSR1, 0));
        std::thread reader([&] { t.outcome("recv", receive_one(c.fd)); });
        pester(reader, [&] { c.peer.send("x"); });
        t.still_works(c);
    });

    cases.add("read", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, 0);
        char byte;
        t.outcome("read", interrupted(SIGUSR1, [&] { return Outcome::of(read(c.fd, &byte, 1)); }));
    });

    cases.add("receive_restarts", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        Outcome outcome;
        std::thread reader([&] { outcome = receive_one(c.fd); });
        pester(reader, [&] { c.peer.send("x"); });
        t.outcome("recv", outcome);
        t.yes_no("the handler ran", handled() > 0);
    });

    cases.add("receive_with_a_timeout_does_not_restart", [](Case &t) {
        const auto c = t.connect();
        set_timeout(c.fd, SO_RCVTIMEO, 20'000);
        handle(SIGUSR1, SA_RESTART);
        t.outcome("recv", interrupted(SIGUSR1, [&] { return receive_one(c.fd); }));
    });

    cases.add("receive_of_all_keeps_what_it_has", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, 0);
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        char buffer[8];
        t.outcome("recv WAITALL", interrupted(SIGUSR1, [&] { return Outcome::of(recv(c.fd, buffer, 8, MSG_WAITALL)); }));
        t.says("bytes", std::string(buffer, 3));
    });

    cases.add("send", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, 0);
        fill(c.fd, 1);
        t.outcome("send", interrupted(SIGUSR1, [&] { return Outcome::of(send(c.fd, "x", 1, 0)); }));
    });

    cases.add("send_restarts", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        const std::size_t sent = fill(c.fd, 1);
        Outcome outcome;
        std::thread writer([&] { outcome = Outcome::of(send(c.fd, "x", 1, 0)); });
        pester(writer, [&] { t.yes_no("the peer read all", c.peer.receive_pattern(sent, 1).result == static_cast<long>(sent)); });
        t.outcome("send", outcome);
    });

    cases.add("large_send_keeps_what_it_sent", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, 0);
        const std::string bytes(64 << 20, 'x');
        const auto send_it = [&] { return Outcome::of(send(c.fd, bytes.data(), bytes.size(), 0)); };
        const Outcome outcome = interrupted(SIGUSR1, send_it);
        t.yes_no("a part was sent", outcome.result > 0 && outcome.result < static_cast<long>(bytes.size()));
    });

    cases.add("poll_never_restarts", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        pollfd entry{.fd = c.fd, .events = POLLIN};
        t.outcome("poll", interrupted(SIGUSR1, [&] { return Outcome::of(poll(&entry, 1, -1)); }));
        t.outcome("ppoll", interrupted(SIGUSR1, [&] { return Outcome::of(ppoll(&entry, 1, nullptr, nullptr)); }));
    });

    cases.add("select_never_restarts", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        t.outcome("select", interrupted(SIGUSR1, [&] {
                      fd_set set;
                      FD_ZERO(&set);
                      FD_SET(c.fd, &set);
                      return Outcome::of(select(c.fd + 1, &set, nullptr, nullptr, nullptr));
                  }));
    });

    cases.add("epoll_never_restarts", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        const int set = must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
        epoll_event event{.events = EPOLLIN, .data = {}};
        must("ADD", epoll_ctl(set, EPOLL_CTL_ADD, c.fd, &event));
        t.outcome("epoll_wait", interrupted(SIGUSR1, [&] { return Outcome::of(epoll_wait(set, &event, 1, -1)); }));
    });

    cases.add("accept", [](Case &t) {
        handle(SIGUSR1, 0);
        const int listener = listening_socket(AF_INET);
        t.outcome("accept", interrupted(SIGUSR1, [&] { return Outcome::of(accept(listener, nullptr, nullptr)); }));
    });

    cases.add("an_alarm_ends_a_read", [](Case &t) {
        const auto c = t.connect();
        handle(SIGALRM, 0);
        const timeval soon{.tv_sec = 0, .tv_usec = 10'000};
        const itimerval often{.it_interval = soon, .it_value = soon};
        must("setitimer", setitimer(ITIMER_REAL, &often, nullptr));
        t.outcome("recv", receive_one(c.fd));
        const itimerval never{};
        must("setitimer", setitimer(ITIMER_REAL, &never, nullptr));
    });

    cases.add("ignored_signals_disturb_nothing", [](Case &t) {
        const auto c = t.connect();
        signal(SIGUSR1, SIG_IGN);
        Outcome outcome;
        std::thread reader([&] { outcome = receive_one(c.fd); });
        pester(reader, [&] { c.peer.send("x"); });
        t.outcome("recv", outcome);
    });

    cases.add("signals_amid_traffic", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        std::atomic<bool> done = false;
        std::thread mover([&] {
            c.peer.start_exchange(8 << 20, 1, 2);
            t.outcome("exchange", exchange_patterns(c.fd, 8 << 20, 2, 1));
            t.outcome("peer", c.peer.finish());
            done = true;
        });
        while (!done) {
            kill(getpid(), SIGUSR1);
            std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
        mover.join();
        t.yes_no("the handler ran", handled() > 0);
    });
    return cases;
}

}  // namespace sansock::parity
