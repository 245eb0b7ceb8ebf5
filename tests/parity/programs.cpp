#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "children.hpp"
#include "subjects.hpp"

extern char **environ;

namespace sansock::parity {

namespace {

void echo(Case &t, int fd, const Remote &peer, const char *text) {
    t.value("send", send(fd, text, strlen(text), 0));
    t.outcome("peer", peer.recv(16));
    peer.send(text);
    char buffer[16];
    t.data("recv", recv(fd, buffer, sizeof buffer, 0), buffer);
}

/// cat between the connection's two directions, until the peer has said enough.
void talk_to_cat(Case &t, const Remote &peer) {
    peer.send("to the cat");
    t.outcome("peer", peer.receive_up_to(10));
    peer.shutdown(SHUT_WR);
    t.outcome("peer", peer.receive_to_end());
}

int spawn(Case &t, const char *program, int in, int out) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (in >= 0) posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (out >= 0) posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    char *arguments[] = {const_cast<char *>(program), nullptr};
    pid_t child = -1;
    t.value("posix_spawnp", posix_spawnp(&child, program, &actions, nullptr, arguments, environ));
    posix_spawn_file_actions_destroy(&actions);
    return child;
}

/// A shell that has the connection as its descriptor 9 and does `script` once it reads a line from `in`.
int spawn_on_nine(int in, const char *script) {
    const std::string text = std::string("read go; ") + script;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    char *arguments[] = {const_cast<char *>("sh"), const_cast<char *>("-c"), const_cast<char *>(text.c_str()), nullptr};
    pid_t child = -1;
    posix_spawn(&child, "/bin/sh", &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return child;
}

}  // namespace

// Other programs: started beside a connection, or given it as their standard input and output.
Subject programs() {
    Subject cases{.name = "programs", .needs_process = true};
    cases.add("another_program_beside", [](Case &t) {
        const auto c = t.connect();
        wait_for(t, spawn(t, "true", -1, -1));
        echo(t, c.fd, c.peer, "on");
        t.value("system", system("exit 3"));
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("another_program_beside_that_inherits", [](Case &t) {
        const auto c = t.connect();
        fcntl(c.fd, F_SETFD, 0);
        wait_for(t, spawn(t, "true", -1, -1));
        echo(t, c.fd, c.peer, "on");
        t.value("system", system("exit 3"));
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("an_inheriting_program_holds_the_end_back", [](Case &t) {
        const auto c = t.connect();
        int hold[2];
        must("pipe2", pipe2(hold, O_CLOEXEC));
        fcntl(c.fd, F_SETFD, 0);
        const int child = spawn(t, "cat", hold[0], -1);
        echo(t, c.fd, c.peer, "on");
        close(c.fd);
        t.outcome("peer", c.peer.poll(POLLIN | POLLRDHUP, 30));
        close(hold[1]);
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("fork_and_exec_of_cat", [](Case &t) {
        const auto c = t.connect();
        const int child = must("fork", fork());
        if (child == 0) {
            dup2(c.fd, STDIN_FILENO);
            dup2(c.fd, STDOUT_FILENO);
            execlp("cat", "cat", nullptr);
            _exit(127);
        }
        close(c.fd);
        talk_to_cat(t, c.peer);
        wait_for(t, child);
    });

    cases.add("vfork_and_exec_of_cat", [](Case &t) {
        const auto c = t.connect();
        const int child = vfork();
        if (child == 0) {
            dup2(c.fd, STDIN_FILENO);
            dup2(c.fd, STDOUT_FILENO);
            execlp("cat", "cat", nullptr);
            _exit(127);
        }
        close(c.fd);
        talk_to_cat(t, c.peer);
        wait_for(t, child);
    });

    cases.add("vfork_leaves_the_parents_numbers_alone", [](Case &t) {
        const auto c = t.connect();
        const int child = vfork();
        if (child == 0) {
            close(c.fd);
            execlp("true", "true", nullptr);
            _exit(127);
        }
        wait_for(t, child);
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("spawn_of_cat", [](Case &t) {
        const auto c = t.connect();
        const int child = spawn(t, "cat", c.fd, c.fd);
        close(c.fd);
        talk_to_cat(t, c.peer);
        wait_for(t, child);
    });

    cases.add("unread_bytes_go_to_cat", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("for us, for the cat");
        t.await_unread(c.fd, 19);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, 7, 0), buffer);
        const int child = spawn(t, "cat", c.fd, c.fd);
        t.outcome("peer", c.peer.receive_up_to(12));
        close(c.fd);
        talk_to_cat(t, c.peer);
        wait_for(t, child);
    });

    cases.add("our_bytes_come_before_those_of_cat", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "before ", 7, 0));
        const int child = spawn(t, "cat", c.fd, c.fd);
        c.peer.send("behind");
        t.outcome("peer", c.peer.receive_up_to(13));
        c.peer.shutdown(SHUT_WR);
        wait_for(t, child);
        t.value("send", send(c.fd, " after", 6, 0));
        t.outcome("peer", c.peer.receive_up_to(6));
    });

    cases.add("system_writes_to_it", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, 9));
        t.value("send", send(c.fd, "one ", 4, 0));
        t.value("system", system("printf 'two ' >&9"));
        t.value("send", send(c.fd, "three", 5, 0));
        t.outcome("peer", c.peer.receive_up_to(13));
    });

    cases.add("system_reads_from_it", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, 9));
        c.peer.send("word\nrest");
        t.await_unread(c.fd, 9);
        t.value("system", system("read word <&9; test \"$word\" = word"));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("our_stream_ends_while_a_program_has_it", [](Case &t) {
        const auto c = t.connect();
        fcntl(c.fd, F_SETFD, 0);
        t.value("system", system("true"));
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
        char buffer[16];
        for (int i = 0; i < 10; ++i) {  // meanwhile the program is known to have ended
            t.outcome("peer", c.peer.poll(POLLHUP, 20));
            t.outcome("peer", c.peer.send("more"));
            t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        }
        c.peer.close();
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
    });

    cases.add("the_peers_stream_ends_while_a_program_has_it", [](Case &t) {
        const auto c = t.connect();
        fcntl(c.fd, F_SETFD, 0);
        t.value("system", system("true"));
        c.peer.shutdown(SHUT_WR);
        char buffer[16];
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
        for (int i = 0; i < 10; ++i) {
            t.value("send", send(c.fd, "more", 4, 0));
            t.outcome("peer", c.peer.receive_up_to(4));
            t.outcome("peer", c.peer.poll(POLLHUP, 20));
        }
        close(c.fd);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("input_of_cat_is_not_ours_to_lose", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, 9));
        int hold[2];
        must("pipe2", pipe2(hold, O_CLOEXEC));
        const int child = spawn_on_nine(hold[0], "cat <&9 >&9");
        c.peer.send("for the cat");
        t.await_unread(9, 11);
        t.value("close", close(c.fd));
        t.value("close", close(9));
        t.outcome("peer", c.peer.send(" and more"));
        must("write", write(hold[1], "\n", 1));
        t.outcome("peer", c.peer.receive_up_to(20));
        c.peer.shutdown(SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
        wait_for(t, child);
    });

    cases.add("nor_of_a_forked_cat", [](Case &t) {
        const auto c = t.connect();
        int hold[2], ready[2];
        must("pipe2", pipe2(hold, O_CLOEXEC));
        must("pipe2", pipe2(ready, O_CLOEXEC));
        const int child = must("fork", fork());
        if (child == 0) {
            dup2(c.fd, 9);
            dup2(hold[0], STDIN_FILENO);
            close(ready[0]);
            execl("/bin/sh", "sh", "-c", "read go; cat <&9 >&9", nullptr);
            _exit(127);
        }
        close(ready[1]);
        char byte;
        must("read", read(ready[0], &byte, 1));  // the end: it executes another program
        c.peer.send("for the cat");
        t.await_unread(c.fd, 11);
        t.value("close", close(c.fd));
        must("write", write(hold[1], "\n", 1));
        t.outcome("peer", c.peer.receive_up_to(11));
        c.peer.shutdown(SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
        wait_for(t, child);
    });

    cases.add("popen_beside", [](Case &t) {
        const auto c = t.connect();
        FILE *pipe = popen("echo from the child", "r");
        char line[32] = {};
        t.says("fgets", fgets(line, sizeof line, pipe) != nullptr ? std::string(line, 14) : "nothing");
        t.value("pclose", pclose(pipe));
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("popen_writes_to_it", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, 9));
        FILE *pipe = popen("cat >&9", "w");
        fputs("through popen", pipe);
        t.value("pclose", pclose(pipe));
        t.outcome("peer", c.peer.receive_up_to(13));
    });

    cases.add("exec_of_ourselves", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("for the next image");
        t.await_unread(c.fd, 18);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, 4, 0), buffer);
        const int child = must("fork", fork());
        if (child == 0) {
            fcntl(c.fd, F_SETFD, 0);
            const std::string number = std::to_string(c.fd);
            execl("/proc/self/exe", "parity", "--echo", number.c_str(), nullptr);
            _exit(127);
        }
        close(c.fd);
        t.outcome("peer", c.peer.receive_up_to(14));
        c.peer.send("more");
        t.outcome("peer", c.peer.receive_up_to(4));
        c.peer.shutdown(SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
        wait_for(t, child);
    });

    cases.add("every_form_of_exec", [](Case &t) {
        const auto c = t.connect();
        using Arguments = char *const *;
        char *words[] = {const_cast<char *>("echo"), const_cast<char *>("word"), nullptr};
        const struct {
            const char *name;
            void (*run)(Arguments);
        } kForms[] = {
            {"execl", [](Arguments) { execl("/bin/echo", "echo", "word", nullptr); }},
            {"execle", [](Arguments) { execle("/bin/echo", "echo", "word", nullptr, environ); }},
            {"execlp", [](Arguments) { execlp("echo", "echo", "word", nullptr); }},
            {"execv", [](Arguments all) { execv("/bin/echo", all); }},
            {"execve", [](Arguments all) { execve("/bin/echo", all, environ); }},
            {"execvp", [](Arguments all) { execvp("echo", all); }},
            {"execvpe", [](Arguments all) { execvpe("echo", all, environ); }},
            {"execveat", [](Arguments all) { execveat(AT_FDCWD, "/bin/echo", all, environ, 0); }},
            {"fexecve", [](Arguments all) { fexecve(open("/bin/echo", O_RDONLY | O_CLOEXEC), all, environ); }},
        };
        for (const auto &[name, run] : kForms) {
            t.says("form", name);
            const int child = must("fork", fork());
            if (child == 0) {
                dup2(c.fd, STDOUT_FILENO);
                run(words);
                _exit(127);
            }
            wait_for(t, child);
            t.outcome("peer", c.peer.receive_up_to(5));
        }
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("exec_that_fails", [](Case &t) {
        const auto c = t.connect();
        char *arguments[] = {nullptr};
        t.value("execve", execve("/nowhere", arguments, environ));
        echo(t, c.fd, c.peer, "on");
        t.value("execvp", execvp("no-such-program", arguments));
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("exec_closes_what_is_marked", [](Case &t) {
        const auto c = t.connect();
        const int child = must("fork", fork());
        if (child == 0) {
            execlp("true", "true", nullptr);
            _exit(127);
        }
        close(c.fd);
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_to_end());
    });
    return cases;
}

}  // namespace sansock::parity
