#include <fcntl.h>
#include <linux/sched.h>
#include <pty.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <utmp.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "children.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

void echo(Case &t, int fd, const Remote &peer, const char *text) {
    t.value("send", send(fd, text, strlen(text), 0));
    t.outcome("peer", peer.recv(16));
    peer.send(text);
    char buffer[16];
    t.data("recv", recv(fd, buffer, sizeof buffer, 0), buffer);
}

}  // namespace

// fork in the forms that servers use it.
Subject processes() {
    Subject cases{.name = "processes", .needs_process = true};
    cases.add("a_child_that_leaves_it_alone", [](Case &t) {
        const auto c = t.connect();
        wait_for(t, in_child([] {}));
        echo(t, c.fd, c.peer, "on");
        close(c.fd);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("a_child_that_stays_meanwhile", [](Case &t) {
        const auto c = t.connect();
        int hold[2];
        must("pipe2", pipe2(hold, O_CLOEXEC));
        const int child = in_child([&] {
            close(hold[1]);
            char byte;
            if (read(hold[0], &byte, 1) != 0) _exit(1);
        });
        for (int i = 0; i < 3; ++i) echo(t, c.fd, c.peer, "meanwhile");
        close(hold[1]);
        wait_for(t, child);
        echo(t, c.fd, c.peer, "afterwards");
    });

    cases.add("the_child_uses_it", [](Case &t) {
        const auto c = t.connect();
        const int child = in_child([&] { echo(t, c.fd, c.peer, "child"); });
        close(c.fd);
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("the_parent_closes_first", [](Case &t) {
        const auto c = t.connect();
        int go[2];
        must("pipe2", pipe2(go, O_CLOEXEC));
        const int child = in_child([&] {
            char byte;
            if (read(go[0], &byte, 1) != 1) _exit(1);
            for (int i = 0; i < 3; ++i) echo(t, c.fd, c.peer, "child");
        });
        close(c.fd);
        must("write", write(go[1], "x", 1));
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("both_use_it_in_turn", [](Case &t) {
        const auto c = t.connect();
        for (int i = 0; i < 3; ++i) {
            wait_for(t, in_child([&] { echo(t, c.fd, c.peer, "child"); }));
            echo(t, c.fd, c.peer, "parent");
        }
    });

    cases.add("one_stream_for_both", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcdef");
        t.await_unread(c.fd, 6);
        char buffer[8];
        t.data("parent", recv(c.fd, buffer, 2, 0), buffer);
        wait_for(t, in_child([&] { t.data("child", recv(c.fd, buffer, 2, 0), buffer); }));
        t.data("parent", recv(c.fd, buffer, 2, 0), buffer);
    });

    cases.add("forked_before_any_byte", [](Case &t) {
        const auto c = t.connect_cold();
        int hold[2];
        must("pipe2", pipe2(hold, O_CLOEXEC));
        const int child = in_child([&] {
            close(hold[1]);
            char byte;
            if (read(hold[0], &byte, 1) != 0) _exit(1);
            echo(t, c.fd, c.peer, "child");
        });
        t.warm_wherever(c);
        echo(t, c.fd, c.peer, "parent");
        close(hold[1]);
        wait_for(t, child);
        echo(t, c.fd, c.peer, "parent");
    });

    cases.add("served_by_a_child", [](Case &t) {
        const auto c = t.connect_cold();
        const int child = in_child([&] {
            t.warm(c);
            echo(t, c.fd, c.peer, "child");
        });
        close(c.fd);
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("a_grandchild", [](Case &t) {
        const auto c = t.connect();
        const int child = in_child([&] {
            echo(t, c.fd, c.peer, "child");
            wait_for(t, in_child([&] { echo(t, c.fd, c.peer, "grandchild"); }));
            echo(t, c.fd, c.peer, "child");
        });
        wait_for(t, child);
        echo(t, c.fd, c.peer, "parent");
    });

    cases.add("close_in_the_child_is_not_the_end", [](Case &t) {
        const auto c = t.connect();
        wait_for(t, in_child([&] { t.value("close", close(c.fd)); }));
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("close_of_all_in_the_child_is_not_the_end", [](Case &t) {
        const auto c = t.connect();
        wait_for(t, in_child([] { close_range(3, 299, 0); }));
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("shutdown_in_the_child_is_the_end", [](Case &t) {
        const auto c = t.connect();
        wait_for(t, in_child([&] { t.value("shutdown", shutdown(c.fd, SHUT_WR)); }));
        t.outcome("peer", c.peer.receive_to_end());
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
    });

    cases.add("exit_of_the_child_with_unread_bytes_is_no_reset", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("unread");
        t.await_unread(c.fd, 6);
        wait_for(t, in_child([] {}));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("the_end_waits_for_the_last_holder", [](Case &t) {
        const auto c = t.connect();
        int hold[2];
        must("pipe2", pipe2(hold, O_CLOEXEC));
        const int child = in_child([&] {
            close(hold[1]);
            char byte;
            if (read(hold[0], &byte, 1) != 0) _exit(1);
        });
        close(c.fd);
        t.outcome("peer", c.peer.poll(POLLIN | POLLRDHUP, 30));
        close(hold[1]);
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("a_killed_child_is_not_the_end", [](Case &t) {
        const auto c = t.connect();
        const int child = in_child([&] {
            send_all(c.fd, "from the child", 14);
            pause();
        });
        t.outcome("peer", c.peer.receive_up_to(14));
        kill(child, SIGKILL);
        wait_for(t, child);
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("the_child_makes_the_epoll", [](Case &t) {
        const auto c = t.connect();
        const int child = in_child([&] {
            const int set = must("epoll_create1", epoll_create1(0));
            epoll_event event{.events = EPOLLIN, .data = {}};
            must("ADD", epoll_ctl(set, EPOLL_CTL_ADD, c.fd, &event));
            c.peer.send("x");
            t.value("wait", epoll_wait(set, &event, 1, 5000));
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        });
        close(c.fd);
        wait_for(t, child);
    });

    cases.add("both_share_an_epoll", [](Case &t) {
        const auto c = t.connect();
        const int set = must("epoll_create1", epoll_create1(0));
        epoll_event event{.events = EPOLLIN, .data = {.u32 = 7}};
        must("ADD", epoll_ctl(set, EPOLL_CTL_ADD, c.fd, &event));
        c.peer.send("x");
        wait_for(t, in_child([&] { t.value("child", epoll_wait(set, &event, 1, 5000)); }));
        t.value("parent", epoll_wait(set, &event, 1, 5000));
    });

    cases.add("a_fork_while_a_thread_reads", [](Case &t) {
        const auto c = t.connect();
        std::thread reader([&] {
            char byte;
            t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        });
        let_others_block();
        wait_for(t, in_child([] {}));
        c.peer.send("x");
        reader.join();
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("a_fork_amid_traffic", [](Case &t) {
        const auto c = t.connect();
        c.peer.start_exchange(16 << 20, 1, 2);
        std::thread mover([&] { t.outcome("exchange", exchange_patterns(c.fd, 16 << 20, 2, 1)); });
        int status = 0;
        for (int i = 0; i < 5; ++i) {
            const int child = in_child([] {});
            waitpid(child, &status, 0);
        }
        mover.join();
        t.outcome("peer", c.peer.finish());
    });

    cases.add("new_connections_in_both", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        const int child = in_child([&] {
            const int mine = must("accept", accept(listener, nullptr, nullptr));
            const Outcome got = receive_up_to(mine, 64 * 16);
            send_all(mine, got.bytes.data(), got.bytes.size());
            char byte;
            if (recv(mine, &byte, 1, 0) != 0) _exit(1);
        });
        const int ours = connected_to(AF_INET, local_port(listener));
        for (int i = 0; i < 64; ++i) send_all(ours, "sixteen bytes...", 16);
        t.value("echoed", receive_up_to(ours, 64 * 16).result);
        close(ours);
        wait_for(t, child);
    });

    cases.add("an_end_right_after_the_first_byte", [](Case &t) {
        const int listener = listening_socket(AF_INET);
        int clean = 0;
        for (int i = 0; i < 40; ++i) {
            const int child = must("fork", fork());
            if (child == 0) {
                const int ours = connected_to(AF_INET, local_port(listener));
                const int theirs = must("accept", accept(listener, nullptr, nullptr));
                send_all(ours, "x", 1);
                receive_up_to(theirs, 1);
                std::this_thread::sleep_for(std::chrono::microseconds(400 * i));
                exit(0);  // with its handlers, whatever the library's own thread is doing
            }
            int status = -1;
            must("waitpid", waitpid(child, &status, 0));
            clean += status == 0;
        }
        t.value("clean ends", clean);
    });

    cases.add("a_raw_clone", [](Case &t) {
        const auto c = t.connect();
        static int fd = c.fd;
        alignas(16) static char stack[64 * 1024];
        const auto child_sends = [](void *) { return send(fd, "clone", 5, 0) == 5 ? 0 : 1; };
        wait_for(t, must("clone", clone(child_sends, stack + sizeof stack, SIGCHLD, nullptr)));
        t.outcome("peer", c.peer.receive_up_to(5));
        echo(t, c.fd, c.peer, "parent");
    });

    cases.add("a_clone_by_number", [](Case &t) {
        const auto c = t.connect();
        clone_args how{};
        how.exit_signal = SIGCHLD;
        const long child = must("clone3", syscall(SYS_clone3, &how, sizeof how));
        if (child == 0) {
            send_all(c.fd, "child", 5);
            close(c.fd);
            _exit(0);
        }
        wait_for(t, static_cast<int>(child));
        t.outcome("peer", c.peer.receive_up_to(5));
        echo(t, c.fd, c.peer, "parent");
    });

    cases.add("child_in_another_namespace", [](Case &t) {
        const auto c = t.connect();
        if (unshare(CLONE_NEWPID) != 0) return t.says("unshare", "needs root");
        const int child = must("fork", fork());
        if (child == 0) {
            send_all(c.fd, "child", 5);
            close(c.fd);
            _exit(0);
        }
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_up_to(5));
        echo(t, c.fd, c.peer, "parent");
        t.value("close", close(c.fd));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("a_fork_without_handlers", [](Case &t) {
        const auto c = t.connect();
        const int child = must("_Fork", _Fork());
        if (child == 0) {
            send_all(c.fd, "child", 5);
            _exit(0);
        }
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_up_to(5));
        echo(t, c.fd, c.peer, "parent");
    });

    cases.add("on_a_terminal", [](Case &t) {
        const auto c = t.connect();
        int terminal = -1;
        const int child = must("forkpty", forkpty(&terminal, nullptr, nullptr, nullptr));
        if (child == 0) {
            send_all(c.fd, "child", 5);
            _exit(isatty(STDIN_FILENO) ? 0 : 1);
        }
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_up_to(5));
        echo(t, c.fd, c.peer, "parent");
        wait_for(t, in_child([&] {
                     must("dup2", dup2(c.fd, STDIN_FILENO));
                     int ends[2];
                     must("openpty", openpty(&ends[0], &ends[1], nullptr, nullptr, nullptr));
                     setsid();
                     t.value("login_tty", login_tty(ends[1]));
                     t.value("isatty", isatty(STDIN_FILENO));
                     send_all(c.fd, "child", 5);
                 }));
        t.outcome("peer", c.peer.receive_up_to(5));
        echo(t, c.fd, c.peer, "parent");
    });

    cases.add("to_the_background", [](Case &t) {
        const auto c = t.connect();
        const int child = in_child([&] {
            if (daemon(1, 1) != 0) _exit(1);
            send_all(c.fd, "daemon", 6);
        });
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_up_to(6));
        echo(t, c.fd, c.peer, "parent");
    });
    return cases;
}

}  // namespace sansock::parity
