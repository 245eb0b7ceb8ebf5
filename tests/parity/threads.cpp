#include <pthread.h>
#include <sys/epoll.h>

#include <atomic>
#include <string>
#include <thread>

#include "pattern.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

/// Runs `body` in a thread, cancels it when it sleeps, and says whether it was cancelled.
void cancel(Case &t, const char *label, void *(*body)(void *), int fd) {
    pthread_t thread;
    must("pthread_create", -pthread_create(&thread, nullptr, body, reinterpret_cast<void *>(static_cast<long>(fd))));
    let_others_block();
    pthread_cancel(thread);
    void *result = nullptr;
    pthread_join(thread, &result);
    t.yes_no(label, result == PTHREAD_CANCELED);
}

int fd_of(void *argument) { return static_cast<int>(reinterpret_cast<long>(argument)); }

}  // namespace

// Several threads on one connection.
Subject threads() {
    Subject cases{"threads"};
    cases.add("one_sends_one_receives", [](Case &t) {
        const auto c = t.connect();
        c.peer.start_exchange(10 << 20, 41, 42);
        t.outcome("exchange", exchange_patterns(c.fd, 10 << 20, 42, 41));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("two_readers_share_the_stream", [](Case &t) {
        const auto c = t.connect();
        constexpr std::size_t kSize = 1 << 20;
        std::atomic<unsigned long> sum = 0, count = 0;
        const auto read_some = [&] {
            unsigned char buffer[1000];
            for (ssize_t n; (n = recv(c.fd, buffer, sizeof buffer, 0)) > 0;) {
                count += static_cast<unsigned long>(n);
                for (ssize_t i = 0; i < n; ++i) sum += buffer[i];
            }
        };
        std::thread one(read_some), two(read_some);
        t.outcome("peer", c.peer.send_pattern(kSize, 43));
        c.peer.shutdown(SHUT_WR);
        one.join();
        two.join();
        std::string expected(kSize, '\0');
        Pattern(43).fill(expected.data(), kSize);
        unsigned long right = 0;
        for (const unsigned char byte : expected) right += byte;
        t.value("bytes", static_cast<long>(count));
        t.yes_no("the sum is right", sum == right);
    });

    cases.add("two_writers_do_not_mix_small_messages", [](Case &t) {
        const auto c = t.connect();
        const auto write_some = [&](const char *message) {
            for (int i = 0; i < 1000; ++i) send_all(c.fd, message, 8);
        };
        c.peer.start_receive_up_to(16'000);
        std::thread one(write_some, "AAAAAAAA"), two(write_some, "BBBBBBBB");
        one.join();
        two.join();
        const std::string all = c.peer.finish().bytes;
        int whole = 0;
        for (std::size_t at = 0; at + 8 <= all.size(); at += 8) {
            whole += all.compare(at, 8, "AAAAAAAA") == 0 || all.compare(at, 8, "BBBBBBBB") == 0;
        }
        t.value("whole messages", whole);
    });

    cases.add("shutdown_wakes_a_reader", [](Case &t) {
        const auto c = t.connect();
        std::thread reader([&] {
            char byte;
            t.value("recv", recv(c.fd, &byte, 1, 0));
        });
        let_others_block();
        shutdown(c.fd, SHUT_RD);
        reader.join();
    });

    cases.add("shutdown_wakes_a_writer", [](Case &t) {
        const auto c = t.connect();
        fill(c.fd, 1);
        std::thread writer([&] { t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL)); });
        let_others_block();
        shutdown(c.fd, SHUT_RDWR);
        writer.join();
    });

    cases.add("close_does_not_wake_a_reader", [](Case &t) {
        const auto c = t.connect();
        std::thread reader([&] {
            char buffer[4];
            t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        });
        let_others_block();
        const int result = close(c.fd);
        c.peer.send("late");
        reader.join();
        t.value("close", result);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("nonblocking_does_not_wake_a_reader", [](Case &t) {
        const auto c = t.connect();
        std::thread reader([&] {
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
            t.value("recv again", recv(c.fd, &byte, 1, 0));
        });
        let_others_block();
        set_nonblocking(c.fd, true);
        let_others_block();
        c.peer.send("x");
        reader.join();
    });

    cases.add("one_arrival_wakes_one_of_two_readers", [](Case &t) {
        const auto c = t.connect();
        std::atomic<int> total = 0;
        const auto read_one = [&] {
            char byte;
            total += static_cast<int>(recv(c.fd, &byte, 1, 0));
        };
        std::thread one(read_one), two(read_one);
        let_others_block();
        c.peer.send("x");
        t.await("one byte", [&] { return total > 0; });
        let_others_block();
        t.value("after one byte", total);
        c.peer.send("y");
        one.join();
        two.join();
        t.value("after two", total);
    });

    cases.add("one_polls_one_reads", [](Case &t) {
        const auto c = t.connect();
        pollfd entry{.fd = c.fd, .events = POLLRDHUP};
        int ready = -1;
        std::thread poller([&] { ready = poll(&entry, 1, 20'000); });
        char byte;
        for (int i = 0; i < 10; ++i) {
            c.peer.send("x");
            if (recv(c.fd, &byte, 1, 0) != 1) die("recv");
        }
        c.peer.close();
        poller.join();
        t.events("poll", ready, static_cast<unsigned>(entry.revents));
    });

    cases.add("cancelled_in_recv", [](Case &t) {
        const auto c = t.connect();
        cancel(
            t, "cancelled",
            [](void *fd) -> void * {
                char byte;
                recv(fd_of(fd), &byte, 1, 0);
                return nullptr;
            },
            c.fd);
        c.peer.send("x");
        char byte;
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
    });

    cases.add("cancelled_in_read", [](Case &t) {
        const auto c = t.connect();
        cancel(
            t, "cancelled",
            [](void *fd) -> void * {
                char byte;
                return read(fd_of(fd), &byte, 1) == 1 ? fd : nullptr;
            },
            c.fd);
    });

    cases.add("cancelled_in_send", [](Case &t) {
        const auto c = t.connect();
        const std::size_t sent = fill(c.fd, 1);
        cancel(
            t, "cancelled",
            [](void *fd) -> void * {
                send(fd_of(fd), "x", 1, 0);
                return nullptr;
            },
            c.fd);
        t.yes_no("the peer read all", c.peer.receive_pattern(sent, 1).result == static_cast<long>(sent));
        t.value("unread at the peer", c.peer.unread().result);
    });

    cases.add("cancelled_in_poll", [](Case &t) {
        const auto c = t.connect();
        cancel(
            t, "cancelled",
            [](void *fd) -> void * {
                pollfd entry{.fd = fd_of(fd), .events = POLLIN};
                poll(&entry, 1, -1);
                return nullptr;
            },
            c.fd);
    });

    cases.add("cancelled_without_waiting", [](Case &t) {
        const auto c = t.connect();
        static int fd;
        static std::atomic<bool> cancelled;
        fd = c.fd;
        pthread_t thread;
        must("pthread_create", -pthread_create(
                                   &thread, nullptr,
                                   [](void *) -> void * {
                                       while (!cancelled) sched_yield();
                                       char byte;
                                       if (recv(fd, &byte, 1, MSG_DONTWAIT) == 1) send(fd, "never", 5, 0);
                                       return nullptr;
                                   },
                                   nullptr));
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        pthread_cancel(thread);
        cancelled = true;
        void *result = nullptr;
        pthread_join(thread, &result);
        t.yes_no("cancelled", result == PTHREAD_CANCELED);
        char byte;
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
    });

    cases.add("cancelled_in_epoll_wait", [](Case &t) {
        const auto c = t.connect();
        const int set = must("epoll_create1", epoll_create1(EPOLL_CLOEXEC));
        epoll_event event{.events = EPOLLIN, .data = {}};
        must("ADD", epoll_ctl(set, EPOLL_CTL_ADD, c.fd, &event));
        cancel(
            t, "cancelled",
            [](void *fd) -> void * {
                epoll_event found;
                epoll_wait(fd_of(fd), &found, 1, -1);
                return nullptr;
            },
            set);
        c.peer.send("x");
        t.value("wait", epoll_wait(set, &event, 1, -1));
    });

    cases.add("many_threads_many_connections", [](Case &t) {
        std::vector<Connection> all;
        for (int i = 0; i < 6; ++i) all.push_back(t.connect());
        std::vector<std::thread> threads;
        std::vector<Outcome> outcomes(all.size());
        for (std::size_t i = 0; i < all.size(); ++i) {
            all[i].peer.send(std::string(100, static_cast<char>('a' + i)));
            threads.emplace_back([&, i] { outcomes[i] = receive_up_to(all[i].fd, 100); });
        }
        for (std::thread &thread : threads) thread.join();
        for (const Outcome &outcome : outcomes) t.outcome("recv", outcome);
    });

    cases.add("a_thread_that_ends_leaves_the_connection", [](Case &t) {
        const auto c = t.connect();
        for (int i = 0; i < 20; ++i) {
            std::thread([&] { send_all(c.fd, "0123456789", 10); }).join();
        }
        t.outcome("peer", c.peer.receive_up_to(200));
    });
    return cases;
}

}  // namespace sansock::parity
