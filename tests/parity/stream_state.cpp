#include <mntent.h>
#include <stdio_ext.h>

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>

#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(FILE *, _IO_fdopen, (int, const char *));
SANSOCK_LIBC(int, _IO_fclose, (FILE *));
SANSOCK_LIBC(FILE *, freopen64, (const char *, const char *, FILE *));
SANSOCK_LIBC(FILE *, fopen, (const char *, const char *));
SANSOCK_LIBC(FILE *, fopen64, (const char *, const char *));
SANSOCK_LIBC(FILE *, _IO_fopen, (const char *, const char *));
SANSOCK_LIBC(FILE *, tmpfile, ());
SANSOCK_LIBC(FILE *, tmpfile64, ());
SANSOCK_LIBC(FILE *, setmntent, (const char *, const char *));
SANSOCK_LIBC(FILE *, __setmntent, (const char *, const char *));
SANSOCK_LIBC(int, endmntent, (FILE *));
SANSOCK_LIBC(int, __endmntent, (FILE *));
SANSOCK_LIBC(int, fileno, (FILE *));
SANSOCK_LIBC(int, fileno_unlocked, (FILE *));

SANSOCK_LIBC(int, fseek, (FILE *, long, int));
SANSOCK_LIBC(int, fseeko, (FILE *, off_t, int));
SANSOCK_LIBC(int, fseeko64, (FILE *, off64_t, int));
SANSOCK_LIBC(long, ftell, (FILE *));
SANSOCK_LIBC(off_t, ftello, (FILE *));
SANSOCK_LIBC(off64_t, ftello64, (FILE *));
SANSOCK_LIBC(long, _IO_ftell, (FILE *));
SANSOCK_LIBC(int, fgetpos, (FILE *, fpos_t *));
SANSOCK_LIBC(int, fgetpos64, (FILE *, fpos64_t *));
SANSOCK_LIBC(int, _IO_fgetpos, (FILE *, fpos_t *));
SANSOCK_LIBC(int, _IO_fgetpos64, (FILE *, fpos64_t *));
SANSOCK_LIBC(int, fsetpos, (FILE *, const fpos_t *));
SANSOCK_LIBC(int, fsetpos64, (FILE *, const fpos64_t *));
SANSOCK_LIBC(int, _IO_fsetpos, (FILE *, const fpos_t *));
SANSOCK_LIBC(int, _IO_fsetpos64, (FILE *, const fpos64_t *));

SANSOCK_LIBC(int, feof, (FILE *));
SANSOCK_LIBC(int, feof_unlocked, (FILE *));
SANSOCK_LIBC(int, _IO_feof, (FILE *));
SANSOCK_LIBC(int, ferror, (FILE *));
SANSOCK_LIBC(int, ferror_unlocked, (FILE *));
SANSOCK_LIBC(int, _IO_ferror, (FILE *));
SANSOCK_LIBC(void, clearerr, (FILE *));
SANSOCK_LIBC(void, clearerr_unlocked, (FILE *));
SANSOCK_LIBC(void, setbuf, (FILE *, char *));
SANSOCK_LIBC(void, setbuffer, (FILE *, char *, std::size_t));
SANSOCK_LIBC(void, _IO_setbuffer, (FILE *, char *, std::size_t));
SANSOCK_LIBC(int, setvbuf, (FILE *, char *, int, std::size_t));
SANSOCK_LIBC(int, _IO_setvbuf, (FILE *, char *, int, std::size_t));
SANSOCK_LIBC(void, setlinebuf, (FILE *));
SANSOCK_LIBC(void, flockfile, (FILE *));
SANSOCK_LIBC(int, ftrylockfile, (FILE *));
SANSOCK_LIBC(void, funlockfile, (FILE *));
SANSOCK_LIBC(void, _IO_flockfile, (FILE *));
SANSOCK_LIBC(int, _IO_ftrylockfile, (FILE *));
SANSOCK_LIBC(void, _IO_funlockfile, (FILE *));

extern "C" FILE _IO_2_1_stdin_, _IO_2_1_stdout_, _IO_2_1_stderr_, *_IO_list_all;

struct Position {
    const char *name;
    long (*call)(FILE *);
};
template <auto Function, class Where>
long with_position(FILE *stream) {
    static Where position{};
    return Function(stream, &position);
}
constexpr Position kPositions[] = {
    {"fseek", [](FILE *s) -> long { return libc_fseek(s, 0, SEEK_SET); }},
    {"fseeko", [](FILE *s) -> long { return libc_fseeko(s, 0, SEEK_SET); }},
    {"fseeko64", [](FILE *s) -> long { return libc_fseeko64(s, 0, SEEK_CUR); }},
    {"ftell", libc_ftell},
    {"ftello", libc_ftello},
    {"ftello64", libc_ftello64},
    {"_IO_ftell", libc__IO_ftell},
    {"fgetpos", with_position<libc_fgetpos, fpos_t>},
    {"fgetpos64", with_position<libc_fgetpos64, fpos64_t>},
    {"_IO_fgetpos", with_position<libc__IO_fgetpos, fpos_t>},
    {"_IO_fgetpos64", with_position<libc__IO_fgetpos64, fpos64_t>},
    {"fsetpos", with_position<libc_fsetpos, fpos_t>},
    {"fsetpos64", with_position<libc_fsetpos64, fpos64_t>},
    {"_IO_fsetpos", with_position<libc__IO_fsetpos, fpos_t>},
    {"_IO_fsetpos64", with_position<libc__IO_fsetpos64, fpos64_t>},
};

struct Buffering {
    const char *name;
    void (*call)(FILE *, char *, std::size_t);
};
constexpr Buffering kBufferings[] = {
    {"setbuf", [](FILE *s, char *, std::size_t) { libc_setbuf(s, nullptr); }},
    {"setbuffer", libc_setbuffer},
    {"_IO_setbuffer", libc__IO_setbuffer},
    {"setvbuf", [](FILE *s, char *room, std::size_t size) { libc_setvbuf(s, room, _IOFBF, size); }},
    {"_IO_setvbuf", [](FILE *s, char *room, std::size_t size) { libc__IO_setvbuf(s, room, _IOFBF, size); }},
    {"setlinebuf", [](FILE *s, char *, std::size_t) { libc_setlinebuf(s); }},
};

struct Opening {
    const char *name;
    FILE *(*call)();
};
char memory[16];
char *grown = nullptr;
std::size_t grown_size = 0;
wchar_t *grown_wide = nullptr;
constexpr Opening kOpenings[] = {
    {"fopen", [] { return libc_fopen("file", "w+"); }},
    {"fopen64", [] { return libc_fopen64("file", "w+"); }},
    {"_IO_fopen", [] { return libc__IO_fopen("file", "w+"); }},
    {"tmpfile", libc_tmpfile},
    {"tmpfile64", libc_tmpfile64},
    {"setmntent", [] { return libc_setmntent("file", "w+"); }},
    {"__setmntent", [] { return libc___setmntent("file", "w+"); }},
    {"fmemopen", [] { return fmemopen(memory, sizeof memory, "w+"); }},
    {"fopencookie", [] { return fopencookie(nullptr, "w", {}); }},
    {"open_memstream", [] { return open_memstream(&grown, &grown_size); }},
    {"open_wmemstream", [] { return open_wmemstream(&grown_wide, &grown_size); }},
};

FILE *stream_of(const Connection &c, const char *mode = "r+") {
    FILE *stream = fdopen(c.fd, mode);
    if (stream == nullptr) die("fdopen");
    return stream;
}

void says_flags(Case &t, FILE *stream) {
    t.value("feof", libc_feof(stream));
    t.value("feof_unlocked", libc_feof_unlocked(stream));
    t.value("_IO_feof", libc__IO_feof(stream));
    t.value("ferror", libc_ferror(stream));
    t.value("ferror_unlocked", libc_ferror_unlocked(stream));
    t.value("_IO_ferror", libc__IO_ferror(stream));
}

}  // namespace

// Functions of libc that are about a stream, and move nothing.
Subject stream_state() {
    Subject cases{"stream_state"};
    cases.add("no_positions", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        for (const auto &[name, call] : kPositions) t.value(name, call(stream));
        rewind(stream);
        t.value("ferror", libc_ferror(stream));
        t.still_works(c);
    });

    cases.add("flags", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c, "r");
        says_flags(t, stream);
        t.value("fputc to a stream for reading", fputc('x', stream));
        says_flags(t, stream);
        libc_clearerr(stream);
        says_flags(t, stream);
        c.peer.shutdown(SHUT_WR);
        t.value("fgetc", fgetc(stream));
        says_flags(t, stream);
        libc_clearerr_unlocked(stream);
        says_flags(t, stream);
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.receive_up_to(2));
    });

    cases.add("buffers", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c, "w");
        static char room[64];
        for (const auto &[name, call] : kBufferings) {
            t.says("buffer by", name);
            call(stream, room, sizeof room);
            t.value("__flbf", __flbf(stream) != 0);
            t.value("fputs", fputs("ab\n", stream) >= 0);
            t.value("__fpending", static_cast<long>(__fpending(stream)));
            t.value("__fbufsize", static_cast<long>(__fbufsize(stream)));
            fflush(stream);
            t.outcome("peer", c.peer.receive_up_to(3));
        }
        t.still_works(c);
    });

    cases.add("directions", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        t.value("__freadable", __freadable(stream) != 0);
        t.value("__fwritable", __fwritable(stream) != 0);
        c.peer.send("ab");
        t.value("fgetc", fgetc(stream));
        t.value("__freading", __freading(stream) != 0);
        t.value("__fwriting", __fwriting(stream) != 0);
        __fpurge(stream);
        t.value("fputs", fputs("purged", stream) >= 0);
        t.value("__freading", __freading(stream) != 0);
        t.value("__fwriting", __fwriting(stream) != 0);
        __fpurge(stream);
        t.value("__fpending", static_cast<long>(__fpending(stream)));
        t.value("fflush", fflush(stream));
        t.still_works(c);
    });

    cases.add("locks", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        libc_flockfile(stream);
        t.value("ftrylockfile", libc_ftrylockfile(stream));
        libc_funlockfile(stream);
        libc_funlockfile(stream);
        libc__IO_flockfile(stream);
        t.value("_IO_ftrylockfile", libc__IO_ftrylockfile(stream));
        libc__IO_funlockfile(stream);
        libc__IO_funlockfile(stream);
        t.value("__fsetlocking", __fsetlocking(stream, FSETLOCKING_BYCALLER));
        t.value("__fsetlocking", __fsetlocking(stream, FSETLOCKING_QUERY));
        t.value("fputs", fputs("text", stream) >= 0);
        fflush(stream);
        t.outcome("peer", c.peer.receive_up_to(4));
        t.still_works(c);
    });

    cases.add("beginning_and_end", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = libc__IO_fdopen(c.fd, "r+");
        t.yes_no("_IO_fdopen", stream != nullptr);
        t.yes_no("fileno", libc_fileno(stream) == c.fd);
        t.yes_no("fileno_unlocked", libc_fileno_unlocked(stream) == c.fd);
        t.value("fputs", fputs("text", stream) >= 0);
        t.value("_IO_fclose", libc__IO_fclose(stream));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("another_file_instead", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        t.value("fputs", fputs("text", stream) >= 0);
        t.yes_no("freopen64", libc_freopen64("/dev/null", "r", stream) == stream);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("ends_of_mount_tables", [](Case &t) {
        const auto one = t.connect(), other = t.connect();
        t.value("endmntent", libc_endmntent(stream_of(one)));
        t.outcome("peer", one.peer.receive_to_end());
        t.value("__endmntent", libc___endmntent(stream_of(other)));
        t.outcome("peer", other.peer.receive_to_end());
    });

    cases.add("streams_of_other_things", [](Case &t) {
        const auto c = t.connect();
        for (const auto &[name, call] : kOpenings) {
            FILE *stream = call();
            t.yes_no(name, stream != nullptr);
            if (stream != nullptr) fclose(stream);
        }
        t.still_works(c);
    });

    cases.add("the_three_standard_ones", [](Case &t) {
        const auto c = t.connect();
        for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) must("dup2", dup2(c.fd, fd));
        t.yes_no("stdin", stdin == &_IO_2_1_stdin_);
        t.yes_no("stdout", stdout == &_IO_2_1_stdout_);
        t.yes_no("stderr", stderr == &_IO_2_1_stderr_);
        t.yes_no("the list of all", _IO_list_all != nullptr);
        fputs("out,", &_IO_2_1_stdout_);
        fflush(stdout);
        fputs("err,", &_IO_2_1_stderr_);
        t.outcome("peer", c.peer.receive_up_to(8));
        c.peer.send("in");
        t.value("fgetc", fgetc(&_IO_2_1_stdin_));
        t.value("fgetc", fgetc(stdin));
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
