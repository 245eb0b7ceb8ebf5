#include <fcntl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <csignal>

#include "children.hpp"
#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(ssize_t, __read, (int, void *, std::size_t));
SANSOCK_LIBC(ssize_t, __write, (int, const void *, std::size_t));
SANSOCK_LIBC(ssize_t, __send, (int, const void *, std::size_t, int));
SANSOCK_LIBC(int, __connect, (int, const sockaddr *, socklen_t));
SANSOCK_LIBC(int, __close, (int));
SANSOCK_LIBC(int, __dup2, (int, int));
SANSOCK_LIBC(int, __fcntl, (int, int, ...));
SANSOCK_LIBC(int, fcntl64, (int, int, ...));
SANSOCK_LIBC(int, __poll, (pollfd *, nfds_t, int));
SANSOCK_LIBC(int, __select, (int, fd_set *, fd_set *, fd_set *, timeval *));
SANSOCK_LIBC(int, __fork, ());
// It returns twice, which the compiler has to know.
extern "C" int libc___vfork() __asm__("__vfork") __attribute__((returns_twice));
SANSOCK_LIBC(int, __clone, (int (*)(void *), void *, int, void *, ...));
SANSOCK_LIBC(void, _Exit, (int));

SANSOCK_LIBC(ssize_t, pread64, (int, void *, std::size_t, off64_t));
SANSOCK_LIBC(ssize_t, __pread64, (int, void *, std::size_t, off64_t));
SANSOCK_LIBC(ssize_t, pwrite64, (int, const void *, std::size_t, off64_t));
SANSOCK_LIBC(ssize_t, __pwrite64, (int, const void *, std::size_t, off64_t));
SANSOCK_LIBC(off64_t, lseek64, (int, off64_t, int));
SANSOCK_LIBC(off64_t, __lseek, (int, off64_t, int));
SANSOCK_OLD_LIBC(off64_t, llseek, (int, off64_t, int));
SANSOCK_LIBC(int, ftruncate64, (int, off64_t));
SANSOCK_LIBC(int, fallocate64, (int, int, off64_t, off64_t));
SANSOCK_LIBC(int, posix_fallocate64, (int, off64_t, off64_t));
SANSOCK_LIBC(int, posix_fadvise64, (int, off64_t, off64_t, int));
SANSOCK_LIBC(int, lockf64, (int, int, off64_t));
SANSOCK_LIBC(void *, mmap64, (void *, std::size_t, int, int, int, off64_t));

SANSOCK_LIBC(int, fstat64, (int, struct stat64 *));
SANSOCK_LIBC(int, __fxstat, (int, int, struct stat *));
SANSOCK_LIBC(int, __fxstat64, (int, int, struct stat64 *));
SANSOCK_LIBC(int, fstatfs64, (int, struct statfs64 *));
SANSOCK_LIBC(int, fstatvfs64, (int, struct statvfs64 *));
SANSOCK_LIBC(int, fstatat64, (int, const char *, struct stat64 *, int));
SANSOCK_LIBC(int, __fxstatat, (int, int, const char *, struct stat *, int));
SANSOCK_LIBC(int, __fxstatat64, (int, int, const char *, struct stat64 *, int));
SANSOCK_LIBC(int, __xmknodat, (int, int, const char *, mode_t, dev_t *));
SANSOCK_LIBC(ssize_t, getdirentries64, (int, char *, std::size_t, off64_t *));
SANSOCK_LIBC(int, scandirat64, (int, const char *, void *, void *, void *));

constexpr int kStatVersion = 1;  // of <bits/stat.h>, as programs linked before glibc 2.33 pass it

}  // namespace

// Second names that libc has for its functions, and those of 64 bits.
Subject aliases() {
    Subject cases{"aliases"};
    cases.add("of_moving_bytes", [](Case &t) {
        const auto c = t.connect();
        t.value("__write", libc___write(c.fd, "one ", 4));
        t.value("__send", libc___send(c.fd, "two", 3, 0));
        t.outcome("peer", c.peer.receive_up_to(7));
        c.peer.send("back");
        t.await_unread(c.fd, 4);
        char buffer[8];
        t.data("__read", libc___read(c.fd, buffer, sizeof buffer), buffer);
        t.still_works(c);
    });

    cases.add("of_connect_and_close", [](Case &t) {
        const Address address = Address::loopback(AF_INET, t.peer().listen(AF_INET));
        const int fd = new_socket(AF_INET);
        t.value("__connect", libc___connect(fd, address.get(), address.length));
        const Connection c{fd, Remote(t.peer(), t.peer().accept())};
        t.warm(c);
        t.still_works(c);
        t.value("__close", libc___close(fd));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("of_descriptors", [](Case &t) {
        const auto c = t.connect();
        t.value("__dup2", libc___dup2(c.fd, 150));
        t.value("__fcntl F_DUPFD", libc___fcntl(150, F_DUPFD, 160));
        t.value("fcntl64 F_DUPFD_CLOEXEC", libc_fcntl64(160, F_DUPFD_CLOEXEC, 170));
        close(c.fd);
        close(150);
        close(160);
        t.value("fcntl64 F_GETFL", libc_fcntl64(170, F_GETFL));
        t.value("__fcntl F_GETFD", libc___fcntl(170, F_GETFD));
        t.still_works({170, c.peer});
    });

    cases.add("of_waiting", [](Case &t) {
        const auto c = t.connect();
        pollfd entry{c.fd, POLLIN, 0};
        t.value("__poll of nothing", libc___poll(&entry, 1, 0));
        c.peer.send("x");
        const int ready = libc___poll(&entry, 1, -1);
        t.events("__poll", ready, static_cast<unsigned>(entry.revents));
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(c.fd, &readable);
        t.value("__select", libc___select(c.fd + 1, &readable, nullptr, nullptr, nullptr));
        t.yes_no("readable", FD_ISSET(c.fd, &readable));
        char byte;
        t.data("recv", recv(c.fd, &byte, 1, 0), &byte);
        t.still_works(c);
    });

    cases.add("of_positions", [](Case &t) {
        const auto c = t.connect();
        char byte = 'x';
        t.value("pread64", libc_pread64(c.fd, &byte, 1, 0));
        t.value("__pread64", libc___pread64(c.fd, &byte, 1, 0));
        t.value("pwrite64", libc_pwrite64(c.fd, &byte, 1, 0));
        t.value("__pwrite64", libc___pwrite64(c.fd, &byte, 1, 0));
        t.value("lseek64", libc_lseek64(c.fd, 0, SEEK_CUR));
        t.value("__lseek", libc___lseek(c.fd, 0, SEEK_CUR));
        t.value("llseek", libc_llseek(c.fd, 0, SEEK_CUR));
        t.value("ftruncate64", libc_ftruncate64(c.fd, 0));
        t.value("fallocate64", libc_fallocate64(c.fd, 0, 0, 1));
        t.says("posix_fallocate64", errno_name(libc_posix_fallocate64(c.fd, 0, 1)));
        t.says("posix_fadvise64", errno_name(libc_posix_fadvise64(c.fd, 0, 0, POSIX_FADV_NORMAL)));
        t.value("lockf64", libc_lockf64(c.fd, F_TLOCK, 0));
        t.value("lockf64", libc_lockf64(c.fd, F_ULOCK, 0));
        constexpr std::size_t kPage = 4096;
        t.yes_no("mmap64", libc_mmap64(nullptr, kPage, 1, 1, c.fd, 0) != reinterpret_cast<void *>(-1));
        t.still_works(c);
    });

    cases.add("of_what_it_is", [](Case &t) {
        const auto c = t.connect();
        struct stat status {};
        struct stat64 status64 {};
        struct statfs64 file_system {};
        struct statvfs64 generic_file_system {};
        t.value("fstat64", libc_fstat64(c.fd, &status64));
        t.yes_no("a socket", S_ISSOCK(status64.st_mode));
        t.value("__fxstat", libc___fxstat(kStatVersion, c.fd, &status));
        t.yes_no("a socket", S_ISSOCK(status.st_mode));
        t.value("__fxstat64", libc___fxstat64(kStatVersion, c.fd, &status64));
        t.yes_no("a socket", S_ISSOCK(status64.st_mode));
        t.value("fstatfs64", libc_fstatfs64(c.fd, &file_system));
        t.value("fstatvfs64", libc_fstatvfs64(c.fd, &generic_file_system));
        t.still_works(c);
    });

    cases.add("of_directories", [](Case &t) {
        const auto c = t.connect();
        struct stat status {};
        struct stat64 status64 {};
        dev_t device = 0;
        off64_t position = 0;
        char entries[512];
        t.value("fstatat64", libc_fstatat64(c.fd, "x", &status64, 0));
        t.value("__fxstatat", libc___fxstatat(kStatVersion, c.fd, "x", &status, 0));
        t.value("__fxstatat64", libc___fxstatat64(kStatVersion, c.fd, "x", &status64, 0));
        t.value("__xmknodat", libc___xmknodat(0, c.fd, "x", S_IFREG, &device));
        t.value("getdirentries64", libc_getdirentries64(c.fd, entries, sizeof entries, &position));
        t.value("scandirat64", libc_scandirat64(c.fd, "x", nullptr, nullptr, nullptr));
        t.still_works(c);
    });
    return cases;
}

Subject process_aliases() {
    Subject cases{.name = "process_aliases", .needs_process = true};
    cases.add("of_fork", [](Case &t) {
        const auto c = t.connect();
        const int child = must("__fork", libc___fork());
        if (child == 0) {
            send_all(c.fd, "child", 5);
            libc__Exit(3);
        }
        wait_for(t, child);
        t.outcome("peer", c.peer.receive_up_to(5));
        t.still_works(c);
    });

    cases.add("of_vfork", [](Case &t) {
        const auto c = t.connect();
        const int child = libc___vfork();
        if (child == 0) {
            close(c.fd);
            execlp("true", "true", nullptr);
            _exit(127);
        }
        wait_for(t, child);
        t.still_works(c);
    });

    cases.add("of_clone", [](Case &t) {
        const auto c = t.connect();
        static int fd = c.fd;
        alignas(16) static char stack[64 * 1024];
        const auto child_sends = [](void *) { return send(fd, "clone", 5, 0) == 5 ? 0 : 1; };
        wait_for(t, must("__clone", libc___clone(child_sends, stack + sizeof stack, SIGCHLD, nullptr)));
        t.outcome("peer", c.peer.receive_up_to(5));
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
