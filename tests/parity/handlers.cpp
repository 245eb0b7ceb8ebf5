#include <pthread.h>
#include <sys/wait.h>

#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

/// Handlers have no argument for these.
int handler_fd = -1;
ssize_t handler_result;
std::atomic<int> handler_runs;
sigjmp_buf escape;

void send_from_handler(int) { handler_result = send(handler_fd, "handler", 7, 0); }
void send_and_count(int number) {
    send_from_handler(number);
    ++handler_runs;
}
void receive_in_handler(int) {
    char byte;
    handler_result = recv(handler_fd, &byte, 1, MSG_DONTWAIT);
}
void close_in_handler(int) { handler_result = close(handler_fd); }
void jump_out(int) { siglongjmp(escape, 1); }

/// Runs `body` in a child and says how it died.
void in_child(Case &t, const char *label, const std::function<void()> &body) {
    const int child = must("fork", fork());
    if (child == 0) {
        body();
        _exit(0);
    }
    int status = 0;
    must("waitpid", waitpid(child, &status, 0));
    t.says(label,
           WIFSIGNALED(status) ? std::string("signal ") + sigabbrev_np(WTERMSIG(status)) : "exit " + std::to_string(WEXITSTATUS(status)));
}

}  // namespace

// What signal handlers do with connections, and SIGPIPE.
Subject handlers() {
    Subject cases{"handlers"};
    cases.add("broken_pipe_kills_by_default", [](Case &t) {
        const auto c = t.connect();
        shutdown(c.fd, SHUT_WR);
        in_child(t, "send", [&] { send(c.fd, "x", 1, 0); });
        in_child(t, "write", [&] { write(c.fd, "x", 1) == 1 ? _exit(1) : void(); });
        in_child(t, "send NOSIGNAL", [&] { send(c.fd, "x", 1, MSG_NOSIGNAL); });
    });

    cases.add("broken_pipe_ignored", [](Case &t) {
        const auto c = t.connect();
        signal(SIGPIPE, SIG_IGN);
        shutdown(c.fd, SHUT_WR);
        t.value("send", send(c.fd, "x", 1, 0));
        t.value("write", write(c.fd, "x", 1));
    });

    cases.add("broken_pipe_goes_to_the_thread", [](Case &t) {
        const auto c = t.connect();
        shutdown(c.fd, SHUT_WR);
        sigset_t pipe_only, pending;
        sigemptyset(&pipe_only);
        sigaddset(&pipe_only, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_only, nullptr);
        t.value("send", send(c.fd, "x", 1, 0));
        sigpending(&pending);
        t.yes_no("pending", sigismember(&pending, SIGPIPE) == 1);
        std::thread([&] {
            sigpending(&pending);
            t.yes_no("pending in another thread", sigismember(&pending, SIGPIPE) == 1);
        }).join();
        const timespec at_once{};
        t.value("taken", sigtimedwait(&pipe_only, nullptr, &at_once));
        t.value("no other", sigtimedwait(&pipe_only, nullptr, &at_once));
    });

    cases.add("a_handler_sends", [](Case &t) {
        const auto c = t.connect();
        handler_fd = c.fd;
        handle(SIGUSR1, 0, send_from_handler);
        raise(SIGUSR1);
        t.value("send", handler_result);
        t.outcome("peer", c.peer.receive_up_to(7));
    });

    cases.add("a_handler_sends_while_a_read_sleeps", [](Case &t) {
        const auto c = t.connect();
        handler_fd = c.fd;
        handle(SIGUSR1, SA_RESTART, send_from_handler);
        char byte = 0;
        std::thread reader([&] { t.data("recv", recv(c.fd, &byte, 1, 0), &byte); });
        let_others_block();
        pthread_kill(reader.native_handle(), SIGUSR1);
        t.outcome("peer", c.peer.receive_up_to(7));
        c.peer.send("x");
        reader.join();
    });

    cases.add("a_handler_receives", [](Case &t) {
        const auto c = t.connect();
        handler_fd = c.fd;
        handle(SIGUSR1, 0, receive_in_handler);
        c.peer.send("ab");
        t.await_unread(c.fd, 2);
        raise(SIGUSR1);
        t.value("recv in the handler", handler_result);
        char byte;
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
    });

    cases.add("a_handler_closes", [](Case &t) {
        const auto c = t.connect();
        handler_fd = c.fd;
        handle(SIGUSR1, 0, close_in_handler);
        raise(SIGUSR1);
        t.value("close", handler_result);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("a_handler_sends_amid_sends", [](Case &t) {
        const auto c = t.connect();
        handler_fd = c.fd;
        handle(SIGUSR1, SA_RESTART, send_and_count);
        c.peer.start_receive_to_end();
        std::atomic<bool> done = false;
        long sent = 0;
        std::thread sender([&] {
            constexpr int kBurstsMin = 300, kBurstsMax = 3000;
            for (int burst = 0; burst < kBurstsMin || (handler_runs < 3 && burst < kBurstsMax); ++burst) {
                for (int i = 0; i < 4; ++i, ++sent) send_all(c.fd, "MESSAGE", 7);
                usleep(100);
            }
            done = true;
        });
        while (!done) {
            pthread_kill(sender.native_handle(), SIGUSR1);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        sender.join();
        shutdown(c.fd, SHUT_WR);
        const std::string all = c.peer.finish().bytes;
        long messages = 0, others = 0;
        for (std::size_t at = 0; at + 7 <= all.size(); at += 7) {
            messages += all.compare(at, 7, "MESSAGE") == 0;
            others += all.compare(at, 7, "handler") == 0;
        }
        t.value("messages lost", sent - messages);
        t.yes_no("one from each run of the handler", others > 0 && others == handler_runs);
        t.value("bytes besides", static_cast<long>(all.size()) - 7 * (messages + others));
    });

    cases.add("a_jump_out_of_a_read", [](Case &t) {
        const auto c = t.connect();
        handle(SIGALRM, 0, jump_out);
        char byte;
        if (sigsetjmp(escape, 1) == 0) {
            ualarm(30'000, 0);
            recv(c.fd, &byte, 1, 0);
            t.says("recv", "returned");
        } else {
            t.says("recv", "left by a jump");
        }
        c.peer.send("x");
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        t.value("send", send(c.fd, "y", 1, 0));
        t.outcome("peer", c.peer.recv(4));
    });

    cases.add("a_jump_out_of_poll", [](Case &t) {
        const auto c = t.connect();
        handle(SIGALRM, 0, jump_out);
        pollfd entry{.fd = c.fd, .events = POLLIN};
        if (sigsetjmp(escape, 1) == 0) {
            ualarm(30'000, 0);
            poll(&entry, 1, -1);
            t.says("poll", "returned");
        } else {
            t.says("poll", "left by a jump");
        }
        c.peer.send("x");
        t.value("poll", poll(&entry, 1, -1));
    });

    cases.add("handlers_are_what_was_installed", [](Case &t) {
        t.connect();
        handle(SIGUSR1, SA_RESTART, send_from_handler);
        struct sigaction now {};
        t.value("sigaction", sigaction(SIGUSR1, nullptr, &now));
        t.yes_no("the handler", now.sa_handler == send_from_handler);
        t.yes_no("the flags", (now.sa_flags & SA_RESTART) != 0);
        t.yes_no("signal returns it", signal(SIGUSR1, SIG_DFL) == send_from_handler);
        for (const int number : {SIGSEGV, SIGBUS, SIGPIPE, SIGCHLD, SIGALRM}) {
            sigaction(number, nullptr, &now);
            t.yes_no(std::string("default of ") + sigabbrev_np(number), now.sa_handler == SIG_DFL);
        }
        sigset_t mask;
        pthread_sigmask(SIG_BLOCK, nullptr, &mask);
        t.yes_no("nothing blocked", sigisemptyset(&mask) != 0);
    });

    cases.add("a_mask_by_sigprocmask", [](Case &t) {
        const auto c = t.connect();
        handle(SIGUSR1, SA_RESTART);
        sigset_t wanted, before;
        sigemptyset(&wanted);
        sigaddset(&wanted, SIGUSR1);
        t.value("sigprocmask", sigprocmask(SIG_BLOCK, &wanted, &before));
        raise(SIGUSR1);
        t.still_works(c);
        t.value("handled", handled());
        t.value("sigprocmask", sigprocmask(SIG_SETMASK, &before, nullptr));
        t.value("handled", handled());
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
