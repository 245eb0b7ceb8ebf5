#include <aio.h>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <mntent.h>
#include <mqueue.h>
#include <pwd.h>
#include <stdio_ext.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <syslog.h>
#include <termios.h>
#include <wordexp.h>

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "libc_names.hpp"
#include "subjects.hpp"

extern "C" {
#include <sys/pidfd.h>  // says nothing of C++ itself
}

namespace sansock::parity {

namespace {

SANSOCK_OLD_LIBC(int, isastream, (int));
SANSOCK_OLD_LIBC(int, fattach, (int, const char *));
SANSOCK_OLD_LIBC(int, fdetach, (const char *));
SANSOCK_OLD_LIBC(int, getmsg, (int, void *, void *, int *));
SANSOCK_OLD_LIBC(int, getpmsg, (int, void *, void *, int *, int *));
SANSOCK_OLD_LIBC(int, putmsg, (int, const void *, const void *, int));
SANSOCK_OLD_LIBC(int, putpmsg, (int, const void *, const void *, int, int));
SANSOCK_LIBC(int, gtty, (int, void *));
SANSOCK_LIBC(int, stty, (int, const void *));
SANSOCK_LIBC(int, fchflags, (int, unsigned long));
SANSOCK_LIBC(int, __ttyname_r_chk, (int, char *, std::size_t, std::size_t));
SANSOCK_LIBC(int, __ptsname_r_chk, (int, char *, std::size_t, std::size_t));
SANSOCK_LIBC(ssize_t, __readlinkat_chk, (int, const char *, char *, std::size_t, std::size_t));
SANSOCK_LIBC(void, __syslog_chk, (int, int, const char *, ...));
SANSOCK_LIBC(void, __vsyslog_chk, (int, int, const char *, va_list));
SANSOCK_LIBC(long, __fdelt_warn, (long));

/// Those that take a list of arguments get it from here.
void log_listed(void (*call)(va_list), ...) {
    va_list arguments;
    va_start(arguments, call);
    call(arguments);
    va_end(arguments);
}

}  // namespace

// Functions that take a descriptor and that no library needs to intercept: what they say of a connection.
Subject passed_on() {
    Subject cases{"passed_on"};
    cases.add("files", [](Case &t) {
        const auto c = t.connect();
        struct statfs file_system {};
        struct statvfs generic_file_system {};
        struct statx extended {};
        t.value("fstatfs", fstatfs(c.fd, &file_system));
        t.value("fstatvfs", fstatvfs(c.fd, &generic_file_system));
        t.value("fpathconf", fpathconf(c.fd, _PC_PIPE_BUF));
        t.value("statx", statx(c.fd, "", AT_EMPTY_PATH, STATX_TYPE, &extended));
        t.yes_no("socket", S_ISSOCK(extended.stx_mode));
        t.value("syncfs", syncfs(c.fd));
        t.value("sync_file_range", sync_file_range(c.fd, 0, 1, 0));
        t.value("fallocate", fallocate(c.fd, 0, 0, 1));
        aiocb request{};
        request.aio_fildes = c.fd;
        t.value("aio_fsync", aio_fsync(O_SYNC, &request));
        const aiocb *list[] = {&request};
        t.value("aio_suspend", aio_suspend(list, 1, nullptr));
        t.says("aio_error", errno_name(aio_error(&request)));
        t.still_works(c);
    });

    cases.add("attributes", [](Case &t) {
        const auto c = t.connect();
        char value[16];
        const timespec times[2] = {};
        const timeval old_times[2] = {};
        t.value("fchmod", fchmod(c.fd, 0600));
        t.value("fchown", fchown(c.fd, geteuid(), getegid()));
        t.value("futimens", futimens(c.fd, times));
        t.value("futimes", futimes(c.fd, old_times));
        t.value("fgetxattr", fgetxattr(c.fd, "user.none", value, sizeof value));
        t.value("fsetxattr", fsetxattr(c.fd, "user.some", "x", 1, 0));
        t.value("fremovexattr", fremovexattr(c.fd, "user.none"));
        t.yes_no("flistxattr", flistxattr(c.fd, nullptr, 0) >= 0);
        t.value("fchflags", libc_fchflags(c.fd, 0));
        t.still_works(c);
    });

    cases.add("locks", [](Case &t) {
        const auto c = t.connect();
        t.value("flock", flock(c.fd, LOCK_EX | LOCK_NB));
        t.value("flock", flock(c.fd, LOCK_UN));
        t.value("lockf", lockf(c.fd, F_TLOCK, 0));
        t.value("lockf", lockf(c.fd, F_ULOCK, 0));
        t.still_works(c);
    });

    cases.add("directories", [](Case &t) {
        const auto c = t.connect();
        char target[8];
        struct stat status {};
        off_t position = 0;
        t.value("fchdir", fchdir(c.fd));
        t.value("fdopendir", fdopendir(c.fd) == nullptr ? -1 : 0);
        t.value("getdents64", getdents64(c.fd, target, sizeof target));
        t.value("getdirentries", getdirentries(c.fd, target, sizeof target, &position));
        t.value("scandirat", scandirat(c.fd, "x", nullptr, nullptr, nullptr));
        t.value("faccessat", faccessat(c.fd, "x", F_OK, 0));
        t.value("fchmodat", fchmodat(c.fd, "x", 0600, 0));
        t.value("fchownat", fchownat(c.fd, "x", 0, 0, 0));
        t.value("fstatat", fstatat(c.fd, "x", &status, 0));
        t.value("futimesat", futimesat(c.fd, "x", nullptr));
        t.value("linkat", linkat(c.fd, "x", AT_FDCWD, "y", 0));
        t.value("mkdirat", mkdirat(c.fd, "x", 0700));
        t.value("mkfifoat", mkfifoat(c.fd, "x", 0600));
        t.value("mknodat", mknodat(c.fd, "x", S_IFREG, 0));
        t.value("openat", openat(c.fd, "x", O_RDONLY));
        t.value("readlinkat", readlinkat(c.fd, "x", target, sizeof target));
        t.value("__readlinkat_chk", libc___readlinkat_chk(c.fd, "x", target, sizeof target, sizeof target));
        t.value("renameat", renameat(c.fd, "x", c.fd, "y"));
        t.value("renameat2", renameat2(c.fd, "x", c.fd, "y", RENAME_NOREPLACE));
        t.value("symlinkat", symlinkat("x", c.fd, "y"));
        t.value("unlinkat", unlinkat(c.fd, "x", 0));
        t.value("utimensat", utimensat(c.fd, "x", nullptr, 0));
        t.still_works(c);
    });

    cases.add("directories_beside", [](Case &t) {
        const auto c = t.connect();
        must("mkdir", mkdir("folder", 0700));
        close(must("creat", creat("folder/file", 0600)));
        DIR *folder = opendir("folder");
        t.yes_no("dirfd", dirfd(folder) >= 0);
        const long begin = telldir(folder);
        int count = 0;
        while (readdir(folder) != nullptr) ++count;
        t.value("readdir", count);
        rewinddir(folder);
        for (count = 0; readdir64(folder) != nullptr;) ++count;
        t.value("readdir64", count);
        seekdir(folder, begin);
        dirent entry, *found = nullptr;
        for (count = 0; readdir_r(folder, &entry, &found) == 0 && found != nullptr;) ++count;
        t.value("readdir_r", count);
        seekdir(folder, begin);
        dirent64 entry64, *found64 = nullptr;
        for (count = 0; readdir64_r(folder, &entry64, &found64) == 0 && found64 != nullptr;) ++count;
        t.value("readdir64_r", count);
        t.value("closedir", closedir(folder));
        t.still_works(c);
    });

    cases.add("terminals", [](Case &t) {
        const auto c = t.connect();
        char name[32];
        termios terminal{};
        t.value("isatty", isatty(c.fd));
        t.says("ttyname_r", errno_name(ttyname_r(c.fd, name, sizeof name)));
        t.says("ptsname_r", errno_name(ptsname_r(c.fd, name, sizeof name)));
        t.value("grantpt", grantpt(c.fd));
        t.value("unlockpt", unlockpt(c.fd));
        t.value("tcflow", tcflow(c.fd, TCOON));
        t.value("tcflush", tcflush(c.fd, TCIOFLUSH));
        t.value("tcsetattr", tcsetattr(c.fd, TCSANOW, &terminal));
        t.value("tcsetpgrp", tcsetpgrp(c.fd, getpgrp()));
        t.value("tcgetsid", tcgetsid(c.fd));
        t.value("tcsendbreak", tcsendbreak(c.fd, 0));
        t.says("__ttyname_r_chk", errno_name(libc___ttyname_r_chk(c.fd, name, sizeof name, sizeof name)));
        t.says("__ptsname_r_chk", errno_name(libc___ptsname_r_chk(c.fd, name, sizeof name, sizeof name)));
        t.yes_no("ptsname", ptsname(c.fd) != nullptr);
        t.value("gtty", libc_gtty(c.fd, name));
        t.value("stty", libc_stty(c.fd, name));
        t.still_works(c);
    });

    cases.add("sockets", [](Case &t) {
        const auto c = t.connect();
        Address group = Address::loopback(AF_INET, 0);
        in_addr one{}, other{};
        std::uint32_t mode = 0, count = 0;
        t.value("isfdtype", isfdtype(c.fd, S_IFSOCK));
        t.value("bindresvport", bindresvport(c.fd, nullptr));
        t.value("getsourcefilter", getsourcefilter(c.fd, 1, group.get(), group.length, &mode, &count, nullptr));
        t.value("setsourcefilter", setsourcefilter(c.fd, 1, group.get(), group.length, MCAST_INCLUDE, 0, nullptr));
        t.value("getipv4sourcefilter", getipv4sourcefilter(c.fd, one, other, &mode, &count, nullptr));
        t.value("setipv4sourcefilter", setipv4sourcefilter(c.fd, one, other, MCAST_INCLUDE, 0, nullptr));
        t.still_works(c);
    });

    cases.add("others", [](Case &t) {
        const auto c = t.connect();
        sigset_t none;
        sigemptyset(&none);
        itimerspec soon{};
        eventfd_t value = 0;
        mq_attr attributes{};
        char message[8];
        t.value("signalfd", signalfd(c.fd, &none, 0));
        t.value("timerfd_settime", timerfd_settime(c.fd, 0, &soon, nullptr));
        t.value("timerfd_gettime", timerfd_gettime(c.fd, &soon));
        t.value("inotify_add_watch", inotify_add_watch(c.fd, "/", IN_OPEN));
        t.value("inotify_rm_watch", inotify_rm_watch(c.fd, 1));
        t.value("fanotify_mark", fanotify_mark(c.fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "/"));
        t.value("mq_getattr", mq_getattr(c.fd, &attributes));
        t.value("mq_send", mq_send(c.fd, "x", 1, 0));
        t.value("mq_receive", mq_receive(c.fd, message, sizeof message, nullptr));
        t.value("mq_notify", mq_notify(c.fd, nullptr));
        t.value("fsconfig", fsconfig(c.fd, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0));
        t.value("fsmount", fsmount(c.fd, 0, 0));
        t.value("setns", setns(c.fd, 0));
        t.value("pidfd_send_signal", pidfd_send_signal(c.fd, 0, nullptr, 0));
        t.value("isastream", libc_isastream(c.fd));
        t.value("fattach", libc_fattach(c.fd, "/"));
        t.value("fdetach", libc_fdetach("/"));
        t.value("getmsg", libc_getmsg(c.fd, nullptr, nullptr, nullptr));
        t.value("getpmsg", libc_getpmsg(c.fd, nullptr, nullptr, nullptr, nullptr));
        t.value("putmsg", libc_putmsg(c.fd, nullptr, nullptr, 0));
        t.value("putpmsg", libc_putpmsg(c.fd, nullptr, nullptr, 0, 0));
        t.yes_no("__fdelt_warn", libc___fdelt_warn(c.fd) == c.fd / (8 * static_cast<long>(sizeof(long))));
        t.value("remap_file_pages", remap_file_pages(nullptr, 0, 0, 0, 0));
        t.value("eventfd_write", eventfd_write(c.fd, 0x6e65766573797465));
        t.outcome("which is a write of eight bytes", c.peer.receive_up_to(8));
        c.peer.send("sevenby8");
        t.await_unread(c.fd, 8);
        t.value("eventfd_read", eventfd_read(c.fd, &value));
        t.data("which is a read of eight bytes", sizeof value, &value);
        openlog("parity", 0, LOG_USER);
        syslog(LOG_DEBUG, "beside a connection");
        log_listed([](va_list all) { vsyslog(LOG_DEBUG, "beside %d connection", all); }, 1);
        libc___syslog_chk(LOG_DEBUG, 1, "beside %d connection", 1);
        log_listed([](va_list all) { libc___vsyslog_chk(LOG_DEBUG, 1, "beside %d connection", all); }, 1);
        closelog();
        t.yes_no("getdtablesize", getdtablesize() > 0);
        t.still_works(c);
    });

    cases.add("streams", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = fdopen(c.fd, "r+");
        fpos_t position;
        t.value("fseek", fseek(stream, 0, SEEK_SET));
        t.value("ftell", ftell(stream));
        t.value("fgetpos", fgetpos(stream, &position));
        rewind(stream);
        t.yes_no("ferror after rewind", ferror(stream) != 0);
        clearerr(stream);
        t.value("ftrylockfile", ftrylockfile(stream));
        funlockfile(stream);
        t.yes_no("__freadable", __freadable(stream) != 0);
        t.yes_no("__fwritable", __fwritable(stream) != 0);
        t.value("__fpending", static_cast<long>(__fpending(stream)));
        const mntent mount{.mnt_fsname = const_cast<char *>("a"),
                           .mnt_dir = const_cast<char *>("b"),
                           .mnt_type = const_cast<char *>("c"),
                           .mnt_opts = const_cast<char *>("d")};
        t.value("addmntent", addmntent(stream, &mount) != 0);
        const passwd user{.pw_name = const_cast<char *>("u"),
                          .pw_passwd = const_cast<char *>("x"),
                          .pw_uid = 1,
                          .pw_gid = 2,
                          .pw_gecos = const_cast<char *>("g"),
                          .pw_dir = const_cast<char *>("/"),
                          .pw_shell = const_cast<char *>("s")};
        t.value("putpwent", putpwent(&user, stream));
        fflush(stream);
        t.value("freopen", freopen("/dev/null", "r", stream) == stream);
        t.value("fcloseall", fcloseall());
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("programs", [](Case &t) {
        const auto c = t.connect();
        wordexp_t words{};
        t.value("wordexp", wordexp("$(echo expanded)", &words, 0));
        t.says("its word", words.we_wordc == 1 ? words.we_wordv[0] : "none");
        t.still_works(c);
    });

    return cases;
}

}  // namespace sansock::parity
