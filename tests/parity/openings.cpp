#include <fcntl.h>
#include <mqueue.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cstdlib>
#include <iterator>
#include <string>

#include "libc_names.hpp"
#include "subjects.hpp"

extern "C" {
#include <sys/pidfd.h>  // says nothing of C++ itself
}

namespace sansock::parity {

namespace {

SANSOCK_LIBC(int, open, (const char *, int, ...));
SANSOCK_LIBC(int, open64, (const char *, int, ...));
SANSOCK_LIBC(int, __open, (const char *, int, ...));
SANSOCK_LIBC(int, __open64, (const char *, int, ...));
SANSOCK_LIBC(int, __open_2, (const char *, int));
SANSOCK_LIBC(int, __open64_2, (const char *, int));
SANSOCK_LIBC(int, openat, (int, const char *, int, ...));
SANSOCK_LIBC(int, openat64, (int, const char *, int, ...));
SANSOCK_LIBC(int, __openat_2, (int, const char *, int));
SANSOCK_LIBC(int, __openat64_2, (int, const char *, int));
SANSOCK_LIBC(int, creat, (const char *, mode_t));
SANSOCK_LIBC(int, creat64, (const char *, mode_t));
SANSOCK_LIBC(int, mkstemp, (char *));
SANSOCK_LIBC(int, mkstemp64, (char *));
SANSOCK_LIBC(int, mkstemps, (char *, int));
SANSOCK_LIBC(int, mkstemps64, (char *, int));
SANSOCK_LIBC(int, mkostemp, (char *, int));
SANSOCK_LIBC(int, mkostemp64, (char *, int));
SANSOCK_LIBC(int, mkostemps, (char *, int, int));
SANSOCK_LIBC(int, mkostemps64, (char *, int, int));
SANSOCK_LIBC(int, __pipe, (int *));
SANSOCK_LIBC(int, pipe, (int *));
SANSOCK_LIBC(int, __mq_open_2, (const char *, int));

/// A fresh name each time; `suffix` is that of mkstemps.
char *pattern(bool suffix) {
    static std::string name;
    name = suffix ? "t-XXXXXX.x" : "t-XXXXXX";
    return name.data();
}

/// Both ends of a pipe, of which one is closed.
template <auto Function>
int one_end() {
    int ends[2];
    if (Function(ends) != 0) return -1;
    close(ends[1]);
    return ends[0];
}

struct Opening {
    const char *name;
    int (*call)();
};
constexpr Opening kFiles[] = {
    {"creat", [] { return libc_creat("file", 0600); }},
    {"creat64", [] { return libc_creat64("file", 0600); }},
    {"open", [] { return libc_open("file", O_RDWR); }},
    {"open64", [] { return libc_open64("file", O_RDWR); }},
    {"__open", [] { return libc___open("file", O_RDWR); }},
    {"__open64", [] { return libc___open64("file", O_RDWR); }},
    {"__open_2", [] { return libc___open_2("file", O_RDWR); }},
    {"__open64_2", [] { return libc___open64_2("file", O_RDWR); }},
    {"openat", [] { return libc_openat(AT_FDCWD, "file", O_RDWR); }},
    {"openat64", [] { return libc_openat64(AT_FDCWD, "file", O_RDWR); }},
    {"__openat_2", [] { return libc___openat_2(AT_FDCWD, "file", O_RDWR); }},
    {"__openat64_2", [] { return libc___openat64_2(AT_FDCWD, "file", O_RDWR); }},
    {"mkstemp", [] { return libc_mkstemp(pattern(false)); }},
    {"mkstemp64", [] { return libc_mkstemp64(pattern(false)); }},
    {"mkstemps", [] { return libc_mkstemps(pattern(true), 2); }},
    {"mkstemps64", [] { return libc_mkstemps64(pattern(true), 2); }},
    {"mkostemp", [] { return libc_mkostemp(pattern(false), O_APPEND); }},
    {"mkostemp64", [] { return libc_mkostemp64(pattern(false), O_APPEND); }},
    {"mkostemps", [] { return libc_mkostemps(pattern(true), 2, O_APPEND); }},
    {"mkostemps64", [] { return libc_mkostemps64(pattern(true), 2, O_APPEND); }},
    {"memfd_create", [] { return memfd_create("memory", 0); }},
    {"pipe", one_end<libc_pipe>},
    {"__pipe", one_end<libc___pipe>},
    {"pipe2", [] { return one_end<[](int *ends) { return pipe2(ends, O_CLOEXEC); }>(); }},
    {"getpt", [] { return getpt(); }},
    {"posix_openpt", [] { return posix_openpt(O_RDWR | O_NOCTTY); }},
    {"inotify_init", [] { return inotify_init(); }},
    {"inotify_init1", [] { return inotify_init1(IN_NONBLOCK); }},
    {"pidfd_open", [] { return pidfd_open(getpid(), 0); }},
    {"shm_open",
     [] {
         const std::string name = "/parity-" + std::to_string(getpid());
         const int fd = shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
         shm_unlink(name.c_str());
         return fd;
     }},
};

/// Which mounts are allowed goes by who runs the test, and what the kernel was built with.
constexpr Opening kPrivileged[] = {
    {"fanotify_init", [] { return fanotify_init(0x40000000, 0); }},
    {"fsopen", [] { return fsopen("no such file system", 0); }},
};

bool is_there(int fd) { return fcntl(fd, F_GETFD) >= 0; }

}  // namespace

// Functions of libc that make descriptors of other kinds, on numbers that connections had before.
Subject openings() {
    Subject cases{"openings"};
    cases.add("beside_a_connection", [](Case &t) {
        const auto c = t.connect();
        for (const auto &[name, call] : kFiles) {
            const int fd = call();
            t.yes_no(name, is_there(fd));
            close(fd);
        }
        for (const auto &[name, call] : kPrivileged) t.yes_no(name, call() >= 0);
        t.still_works(c);
    });

    cases.add("on_the_number_of_a_connection", [](Case &t) {
        for (int i = 0; i < 3; ++i) {
            const auto c = t.connect();
            close(c.fd);
            t.outcome("peer", c.peer.receive_to_end());
            const int fd = kFiles[0].call();
            t.yes_no("a regular file", is_there(fd) && lseek(fd, 0, SEEK_CUR) == 0);
            t.value("write", write(fd, "file", 4));
            close(fd);
        }
    });

    cases.add("by_handle", [](Case &t) {
        const auto c = t.connect();
        struct {
            file_handle head;
            unsigned char room[MAX_HANDLE_SZ];
        } handle{};
        int mount = -1;
        handle.head.handle_bytes = MAX_HANDLE_SZ;
        t.value("name_to_handle_at", name_to_handle_at(c.fd, "x", &handle.head, &mount, 0));
        handle.head.handle_bytes = MAX_HANDLE_SZ + 1;
        t.yes_no("open_by_handle_at", open_by_handle_at(c.fd, &handle.head, O_RDONLY) >= 0);
        t.still_works(c);
    });

    cases.add("of_mounts", [](Case &t) {
        const auto c = t.connect();
        mount_attr attributes{};
        t.yes_no("fspick", fspick(c.fd, "x", 0) >= 0);
        t.yes_no("mount_setattr", mount_setattr(c.fd, "x", 0, &attributes, 0) >= 0);
        t.yes_no("move_mount", move_mount(c.fd, "x", c.fd, "y", 0) >= 0);
        t.yes_no("open_tree", open_tree(c.fd, "x", 0) >= 0);
        t.still_works(c);
    });

    cases.add("of_processes", [](Case &t) {
        const auto c = t.connect();
        const iovec part{};
        const int self = must("pidfd_open", pidfd_open(getpid(), 0));
        const int copy = pidfd_getfd(self, c.fd, 0);
        t.yes_no("pidfd_getfd", copy >= 0);
        t.value("pidfd_getfd of a socket", pidfd_getfd(c.fd, c.fd, 0));
        t.value("process_madvise", process_madvise(c.fd, &part, 1, MADV_COLD, 0));
        t.value("process_mrelease", process_mrelease(c.fd, 0));
        close(c.fd);
        t.still_works({copy, c.peer});
    });

    cases.add("of_message_queues", [](Case &t) {
        const auto c = t.connect();
        const std::string name = "/parity-" + std::to_string(getpid());
        mq_attr attributes{};
        const timespec past{};
        char message[8];
        attributes.mq_maxmsg = 1;
        attributes.mq_msgsize = sizeof message;
        const mqd_t queue = mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
        t.yes_no("mq_open", queue >= 0);
        const mqd_t again = libc___mq_open_2(name.c_str(), O_RDWR);
        t.yes_no("__mq_open_2", again >= 0);
        mq_unlink(name.c_str());
        t.value("mq_send", mq_send(queue, "text", 4, 0));
        t.data("mq_receive", mq_receive(again, message, sizeof message, nullptr), message);
        t.value("mq_close", mq_close(queue));
        t.value("mq_close", mq_close(again));
        t.value("mq_getattr", mq_getattr(c.fd, &attributes));
        t.value("mq_setattr", mq_setattr(c.fd, &attributes, nullptr));
        t.value("mq_timedsend", mq_timedsend(c.fd, "x", 1, 0, &past));
        t.value("mq_timedreceive", mq_timedreceive(c.fd, message, sizeof message, nullptr, &past));
        t.still_works(c);
        t.value("send", send(c.fd, "last", 4, 0));
        t.value("mq_close of a connection", mq_close(c.fd));
        t.outcome("peer", c.peer.receive_to_end());
        const int file = libc_creat("file", 0600);
        t.yes_no("a file on its number", file == c.fd);
        t.value("write", write(file, "file", 4));
        t.value("its size", lseek(file, 0, SEEK_CUR));
    });
    return cases;
}

}  // namespace sansock::parity
