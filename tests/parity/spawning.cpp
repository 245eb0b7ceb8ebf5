#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "children.hpp"
#include "libio.hpp"
#include "subjects.hpp"

extern char **environ;

namespace sansock::parity {

namespace {

SANSOCK_LIBC(FILE *, _IO_popen, (const char *, const char *));
SANSOCK_LIBC(FILE *, _IO_proc_open, (FILE *, const char *, const char *));
SANSOCK_LIBC(int, _IO_proc_close, (FILE *));
SANSOCK_LIBC(int, __cxa_atexit, (void (*)(void *), void *, void *));

/// posix_spawn of a shell with `script`, after what `prepare` asks for.
int spawn_shell(Case &t, const char *script, void (*prepare)(posix_spawn_file_actions_t *, int fd), int fd) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    prepare(&actions, fd);
    char *arguments[] = {const_cast<char *>("sh"), const_cast<char *>("-c"), const_cast<char *>(script), nullptr};
    pid_t child = -1;
    t.says("posix_spawn", errno_name(posix_spawn(&child, "/bin/sh", &actions, nullptr, arguments, environ)));
    posix_spawn_file_actions_destroy(&actions);
    return child;
}

int exit_fd = -1;

}  // namespace

// Every form of starting another program, and what is asked for before it runs.
Subject spawning() {
    Subject cases{.name = "spawning", .needs_process = true};
    cases.add("beside_a_connection", [](Case &t) {
        const auto c = t.connect();
        wait_for(t, spawn_shell(
                        t, "exit 3", [](posix_spawn_file_actions_t *, int) {}, -1));
        t.still_works(c);
    });

    cases.add("with_it_as_output", [](Case &t) {
        const auto c = t.connect();
        wait_for(t,
                 spawn_shell(
                     t, "echo there", [](posix_spawn_file_actions_t *all, int fd) { posix_spawn_file_actions_adddup2(all, fd, 1); }, c.fd));
        t.outcome("peer", c.peer.receive_up_to(6));
        t.still_works(c);
    });

    cases.add("with_it_closed", [](Case &t) {
        const auto c = t.connect();
        must("fcntl", fcntl(c.fd, F_SETFD, 0));
        must("dup2", dup2(c.fd, 9));
        const auto close_it = [](posix_spawn_file_actions_t *all, int) { posix_spawn_file_actions_addclose(all, 9); };
        wait_for(t, spawn_shell(t, "if (true >&9) 2> /dev/null; then exit 1; else exit 2; fi", close_it, -1));
        const auto close_all = [](posix_spawn_file_actions_t *all, int) { posix_spawn_file_actions_addclosefrom_np(all, 3); };
        wait_for(t, spawn_shell(t, "if (true >&9) 2> /dev/null; then exit 1; else exit 2; fi", close_all, -1));
        t.still_works(c);
    });

    cases.add("with_a_file_on_its_number", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, 9));
        const auto open_file = [](posix_spawn_file_actions_t *all, int) {
            posix_spawn_file_actions_addopen(all, 9, "file", O_CREAT | O_RDWR, 0600);
        };
        wait_for(t, spawn_shell(t, "echo there >&9", open_file, -1));
        struct stat status {};
        t.value("stat", stat("file", &status));
        t.value("size", status.st_size);
        t.still_works({9, c.peer});
    });

    cases.add("in_another_folder", [](Case &t) {
        const auto c = t.connect();
        must("mkdir", mkdir("folder", 0700));
        const auto by_name = [](posix_spawn_file_actions_t *all, int) { posix_spawn_file_actions_addchdir_np(all, "folder"); };
        wait_for(t, spawn_shell(t, "test ${PWD##*/} = folder", by_name, -1));
        const int folder = must("open", open("folder", O_DIRECTORY | O_RDONLY));
        const auto by_number = [](posix_spawn_file_actions_t *all, int fd) { posix_spawn_file_actions_addfchdir_np(all, fd); };
        wait_for(t, spawn_shell(t, "test ${PWD##*/} = folder", by_number, folder));
        pid_t child = -1;
        char *arguments[] = {const_cast<char *>("true"), nullptr};
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addfchdir_np(&actions, c.fd);
        t.says("posix_spawn in a socket", errno_name(posix_spawn(&child, "/bin/true", &actions, nullptr, arguments, environ)));
        posix_spawn_file_actions_destroy(&actions);
        t.still_works(c);
    });

    cases.add("with_it_as_terminal", [](Case &t) {
        const auto c = t.connect();
        pid_t child = -1;
        char *arguments[] = {const_cast<char *>("true"), nullptr};
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addtcsetpgrp_np(&actions, c.fd);
        t.says("posix_spawn", errno_name(posix_spawn(&child, "/bin/true", &actions, nullptr, arguments, environ)));
        posix_spawn_file_actions_destroy(&actions);
        t.still_works(c);
    });

    cases.add("popen_by_its_second_name", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, 9));
        FILE *pipe = libc__IO_popen("cat >&9", "w");
        fputs("through popen", pipe);
        t.value("pclose", pclose(pipe));
        t.outcome("peer", c.peer.receive_up_to(13));
        t.still_works(c);
    });

    cases.add("popen_by_its_inside", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, 9));
        static RawStream stream;
        make(stream);
        t.yes_no("_IO_proc_open", libc__IO_proc_open(&stream.file, "cat >&9", "w") == &stream.file);
        fputs("through its inside", &stream.file);
        fflush(&stream.file);
        t.value("_IO_proc_close", libc__IO_proc_close(&stream.file));
        t.outcome("peer", c.peer.receive_up_to(18));
        t.still_works(c);
    });

    cases.add("last_words_of_the_process", [](Case &t) {
        const auto c = t.connect();
        const int child = must("fork", fork());
        if (child == 0) {
            exit_fd = c.fd;
            libc___cxa_atexit([](void *word) { send(exit_fd, word, 4, 0); }, const_cast<char *>("last"), nullptr);
            exit(0);
        }
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_up_to(4));
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
