#include <sys/eventfd.h>
#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "subjects.hpp"

namespace sansock::parity {

namespace {
unsigned revents(const pollfd &entry) { return static_cast<unsigned>(entry.revents); }
}  // namespace

// poll and ppoll as calls: sets, timeouts, sleeping and waking.
Subject polling() {
    Subject cases{"poll"};
    cases.add("times_out", [](Case &t) {
        const auto c = t.connect();
        pollfd entry{.fd = c.fd, .events = POLLIN};
        t.value("at once", poll(&entry, 1, 0));
        t.value("after a while", poll(&entry, 1, 25));
        const timespec soon{.tv_sec = 0, .tv_nsec = 25'000'000};
        t.value("ppoll", ppoll(&entry, 1, &soon, nullptr));
    });

    cases.add("wakes_on_arrival", [](Case &t) {
        const auto c = t.connect();
        for (int i = 0; i < 5; ++i) {
            std::thread sender([&] {
                let_others_block();
                c.peer.send("x");
            });
            pollfd entry{.fd = c.fd, .events = POLLIN};
            const int ready = poll(&entry, 1, -1);
            t.events("poll", ready, revents(entry));
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
            sender.join();
        }
    });

    cases.add("wakes_on_room", [](Case &t) {
        const auto c = t.connect();
        const std::size_t sent = fill(c.fd, 1);
        c.peer.start_receive_pattern(sent, 1);
        pollfd entry{.fd = c.fd, .events = POLLOUT};
        const int ready = poll(&entry, 1, 20'000);
        t.events("poll", ready, revents(entry));
        c.peer.finish();
    });

    cases.add("wakes_on_the_end", [](Case &t) {
        const auto c = t.connect();
        std::thread closer([&] {
            let_others_block();
            c.peer.close();
        });
        pollfd entry{.fd = c.fd, .events = POLLIN | POLLRDHUP};
        const int ready = poll(&entry, 1, -1);
        closer.join();
        t.events("poll", ready, revents(entry));
    });

    cases.add("wakes_on_our_own_shutdown", [](Case &t) {
        const auto c = t.connect();
        std::thread closer([&] {
            let_others_block();
            shutdown(c.fd, SHUT_RDWR);
        });
        pollfd entry{.fd = c.fd, .events = POLLIN};
        const int ready = poll(&entry, 1, 20'000);
        closer.join();
        t.events("poll", ready, revents(entry));
    });

    cases.add("skips_negative_and_reports_closed", [](Case &t) {
        const auto c = t.connect();
        const int closed = dup(c.fd);
        close(closed);
        pollfd entries[] = {{-1, POLLIN, 77}, {closed, POLLIN, 0}, {c.fd, POLLOUT, 0}, {-c.fd, POLLIN, 77}};
        t.value("poll", poll(entries, 4, -1));
        for (const pollfd &entry : entries) t.events("entry", 0, revents(entry));
    });

    cases.add("the_same_socket_twice", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        pollfd entries[] = {{c.fd, POLLIN, 0}, {c.fd, POLLOUT, 0}, {c.fd, POLLPRI, 0}};
        t.value("poll", poll(entries, 3, -1));
        for (const pollfd &entry : entries) t.events("entry", 0, revents(entry));
    });

    cases.add("several_connections", [](Case &t) {
        const Connection all[] = {t.connect(), t.connect(), t.connect()};
        all[1].peer.send("x");
        t.await_unread(all[1].fd, 1);
        pollfd entries[] = {{all[0].fd, POLLIN, 0}, {all[1].fd, POLLIN, 0}, {all[2].fd, POLLIN | POLLOUT, 0}};
        t.value("poll", poll(entries, 3, -1));
        for (const pollfd &entry : entries) t.events("entry", 0, revents(entry));
    });

    cases.add("mixed_with_other_descriptors", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        const int counter = must("eventfd", eventfd(0, EFD_CLOEXEC));
        pollfd entries[] = {{c.fd, POLLIN, 0}, {ends[0], POLLIN, 0}, {counter, POLLIN, 0}};
        t.value("nothing", poll(entries, 3, 0));
        t.value("write to the pipe", write(ends[1], "x", 1));
        t.value("pipe", poll(entries, 3, -1));
        for (const pollfd &entry : entries) t.events("entry", 0, revents(entry));
        c.peer.send("y");
        t.await_unread(c.fd, 1);
        t.value("pipe and socket", poll(entries, 3, -1));
        for (const pollfd &entry : entries) t.events("entry", 0, revents(entry));
    });

    cases.add("wakes_by_another_descriptor", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        std::thread writer([&] {
            let_others_block();
            must("write", write(ends[1], "x", 1));
        });
        pollfd entries[] = {{c.fd, POLLIN, 0}, {ends[0], POLLIN, 0}};
        t.value("poll", poll(entries, 2, -1));
        writer.join();
        for (const pollfd &entry : entries) t.events("entry", 0, revents(entry));
    });

    cases.add("wakes_by_the_socket_beside_another_descriptor", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        std::thread sender([&] {
            let_others_block();
            c.peer.send("x");
        });
        pollfd entries[] = {{ends[0], POLLIN, 0}, {c.fd, POLLIN, 0}};
        t.value("poll", poll(entries, 2, -1));
        sender.join();
        for (const pollfd &entry : entries) t.events("entry", 0, revents(entry));
    });

    cases.add("listener_beside_a_connection", [](Case &t) {
        const auto c = t.connect();
        const int listener = listening_socket(AF_INET);
        pollfd entries[] = {{listener, POLLIN, 0}, {c.fd, POLLIN, 0}};
        t.value("nothing", poll(entries, 2, 0));
        const int other = connected_to(AF_INET, local_port(listener));
        t.value("someone connects", poll(entries, 2, -1));
        for (const pollfd &entry : entries) t.events("entry", 0, revents(entry));
        close(other);
    });

    cases.add("empty_set", [](Case &t) {
        t.value("poll", poll(nullptr, 0, 5));
        const timespec soon{.tv_sec = 0, .tv_nsec = 5'000'000};
        t.value("ppoll", ppoll(nullptr, 0, &soon, nullptr));
    });

    cases.add("wrong_arguments", [](Case &t) {
        const auto c = t.connect();
        pollfd entry{.fd = c.fd, .events = POLLIN};
        const timespec wrong{.tv_sec = 0, .tv_nsec = 2'000'000'000};
        t.value("nanoseconds", ppoll(&entry, 1, &wrong, nullptr));
        const timespec past{.tv_sec = -1, .tv_nsec = 0};
        t.value("negative time", ppoll(&entry, 1, &past, nullptr));
        t.value("bad pointer", poll(reinterpret_cast<pollfd *>(8), 1, 0));
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        t.value("too many", poll(&entry, static_cast<nfds_t>(limit.rlim_max) + 1, 0));
    });

    cases.add("a_pending_signal_that_the_mask_lets_in", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        sigset_t blocked, none;
        sigemptyset(&none);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
        raise(SIGUSR1);
        t.value("signals before", handled());
        pollfd entry{.fd = c.fd, .events = POLLIN};
        const timespec later{.tv_sec = 20, .tv_nsec = 0};
        t.value("ppoll", ppoll(&entry, 1, &later, &none));
        t.value("signals after", handled());
        sigset_t now;
        pthread_sigmask(SIG_BLOCK, nullptr, &now);
        t.yes_no("blocked again", sigismember(&now, SIGUSR1) == 1);
    });

    cases.add("a_pending_signal_and_a_ready_socket", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        sigset_t blocked, none;
        sigemptyset(&none);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR1);
        pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        pollfd entry{.fd = c.fd, .events = POLLIN};
        const timespec later{.tv_sec = 20, .tv_nsec = 0};
        const int ready = ppoll(&entry, 1, &later, &none);
        t.events("ppoll", ready, revents(entry));
    });

    cases.add("a_hundred_connections", [](Case &t) {
        std::vector<Connection> all;
        std::vector<pollfd> entries;
        for (int i = 0; i < 100; ++i) {
            all.push_back(t.connect_cold());
            entries.push_back({.fd = all.back().fd, .events = POLLIN, .revents = 0});
        }
        for (const Connection &c : {all[0], all[50], all[99]}) t.warm(c);
        for (const int i : {3, 50, 99}) all[static_cast<std::size_t>(i)].peer.send("x");
        t.await(all[99].fd, POLLIN);
        t.value("poll", poll(entries.data(), entries.size(), -1));
        for (std::size_t i = 0; i < entries.size(); ++i) {
            if (entries[i].revents != 0) t.value("ready", static_cast<long>(i));
        }
    });

    // The second connection is young: it may leave TCP at any moment while poll sleeps.
    cases.add("a_young_connection_beside_an_old_one", [](Case &t) {
        constexpr int kRounds = 40;
        const auto old = t.connect(), young = t.connect_cold();
        std::thread other([&] {
            for (int i = 0; i < kRounds; ++i) {
                usleep(9000);
                young.peer.send("x");
                if (young.peer.recv(1).result != 1) return;
            }
        });
        pollfd entries[] = {{.fd = old.fd, .events = POLLIN, .revents = 0}, {.fd = young.fd, .events = POLLIN, .revents = 0}};
        int rounds = 0;
        char byte;
        while (rounds < kRounds && poll(entries, 2, 5000) == 1 && recv(young.fd, &byte, 1, 0) == 1 && send(young.fd, "y", 1, 0) == 1)
            ++rounds;
        t.value("rounds", rounds);
        if (rounds < kRounds) shutdown(young.fd, SHUT_RDWR);
        other.join();
    });

    cases.add("a_wait_begun_before_the_first_byte", [](Case &t) {
        const auto c = t.connect_cold();
        pollfd entry{.fd = c.fd, .events = POLLRDHUP};
        int ready = -1;
        std::thread waiter([&] { ready = poll(&entry, 1, -1); });
        let_others_block();
        t.warm_wherever(c);
        c.peer.close();
        waiter.join();
        t.events("poll", ready, revents(entry));
    });
    return cases;
}

}  // namespace sansock::parity
