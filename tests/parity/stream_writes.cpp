#include <printf.h>

#include <cstdarg>
#include <cstdio>
#include <iterator>

#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(int, fputc, (int, FILE *));
SANSOCK_LIBC(int, fputc_unlocked, (int, FILE *));
SANSOCK_LIBC(int, putc, (int, FILE *));
SANSOCK_LIBC(int, putc_unlocked, (int, FILE *));
SANSOCK_LIBC(int, _IO_putc, (int, FILE *));
SANSOCK_LIBC(int, putw, (int, FILE *));
SANSOCK_LIBC(int, __overflow, (FILE *, int));
SANSOCK_LIBC(int, fputs, (const char *, FILE *));
SANSOCK_LIBC(int, fputs_unlocked, (const char *, FILE *));
SANSOCK_LIBC(int, _IO_fputs, (const char *, FILE *));
SANSOCK_LIBC(std::size_t, fwrite, (const void *, std::size_t, std::size_t, FILE *));
SANSOCK_LIBC(std::size_t, fwrite_unlocked, (const void *, std::size_t, std::size_t, FILE *));
SANSOCK_LIBC(std::size_t, _IO_fwrite, (const void *, std::size_t, std::size_t, FILE *));
SANSOCK_LIBC(int, fprintf, (FILE *, const char *, ...));
SANSOCK_LIBC(int, _IO_fprintf, (FILE *, const char *, ...));
SANSOCK_LIBC(int, __fprintf_chk, (FILE *, int, const char *, ...));
SANSOCK_LIBC(int, vfprintf, (FILE *, const char *, va_list));
SANSOCK_LIBC(int, _IO_vfprintf, (FILE *, const char *, va_list));
SANSOCK_LIBC(int, __vfprintf_chk, (FILE *, int, const char *, va_list));
SANSOCK_LIBC(int, fflush, (FILE *));
SANSOCK_LIBC(int, fflush_unlocked, (FILE *));
SANSOCK_LIBC(int, _IO_fflush, (FILE *));
SANSOCK_LIBC(void, _flushlbf, ());

SANSOCK_LIBC(int, printf, (const char *, ...));
SANSOCK_LIBC(int, vprintf, (const char *, va_list));
SANSOCK_LIBC(int, _IO_printf, (const char *, ...));
SANSOCK_LIBC(int, __printf_chk, (int, const char *, ...));
SANSOCK_LIBC(int, __vprintf_chk, (int, const char *, va_list));
SANSOCK_LIBC(int, puts, (const char *));
SANSOCK_LIBC(int, _IO_puts, (const char *));
SANSOCK_LIBC(int, putchar, (int));
SANSOCK_LIBC(int, putchar_unlocked, (int));

SANSOCK_LIBC(int, dprintf, (int, const char *, ...));
SANSOCK_LIBC(int, vdprintf, (int, const char *, va_list));
SANSOCK_LIBC(int, __dprintf_chk, (int, int, const char *, ...));
SANSOCK_LIBC(int, __vdprintf_chk, (int, int, const char *, va_list));
SANSOCK_LIBC(void, __backtrace_symbols_fd, (void *const *, int, int));

/// Those that take a list of arguments get it from here.
int listed(int (*call)(FILE *, va_list), FILE *stream, ...) {
    va_list arguments;
    va_start(arguments, stream);
    const int result = call(stream, arguments);
    va_end(arguments);
    return result;
}

int listed_to(int fd, int (*call)(int, va_list), ...) {
    va_list arguments;
    va_start(arguments, call);
    const int result = call(fd, arguments);
    va_end(arguments);
    return result;
}

struct Writes {
    const char *name;
    long (*call)(FILE *);
};
constexpr Writes kToAnyStream[] = {
    {"fputc", [](FILE *s) -> long { return libc_fputc('a', s); }},
    {"fputc_unlocked", [](FILE *s) -> long { return libc_fputc_unlocked('b', s); }},
    {"putc", [](FILE *s) -> long { return libc_putc('c', s); }},
    {"putc_unlocked", [](FILE *s) -> long { return libc_putc_unlocked('d', s); }},
    {"_IO_putc", [](FILE *s) -> long { return libc__IO_putc('e', s); }},
    {"putw", [](FILE *s) -> long { return libc_putw(0x77747570, s); }},
    {"__overflow", [](FILE *s) -> long { return libc___overflow(s, '\n'); }},
    {"fputs", [](FILE *s) -> long { return libc_fputs("fputs,", s); }},
    {"fputs_unlocked", [](FILE *s) -> long { return libc_fputs_unlocked("fputs_unlocked,", s); }},
    {"_IO_fputs", [](FILE *s) -> long { return libc__IO_fputs("_IO_fputs\n", s); }},
    {"fwrite", [](FILE *s) { return static_cast<long>(libc_fwrite("fwrite,", 1, 7, s)); }},
    {"fwrite_unlocked", [](FILE *s) { return static_cast<long>(libc_fwrite_unlocked("fwrite_unlocked,", 4, 4, s)); }},
    {"_IO_fwrite", [](FILE *s) { return static_cast<long>(libc__IO_fwrite("_IO_fwrite\n", 1, 11, s)); }},
    {"fprintf", [](FILE *s) -> long { return libc_fprintf(s, "%d,", 1); }},
    {"_IO_fprintf", [](FILE *s) -> long { return libc__IO_fprintf(s, "%d,", 2); }},
    {"__fprintf_chk", [](FILE *s) -> long { return libc___fprintf_chk(s, 1, "%d,", 3); }},
    {"vfprintf", [](FILE *s) -> long { return listed([](FILE *to, va_list all) { return libc_vfprintf(to, "%d,", all); }, s, 4); }},
    {"_IO_vfprintf", [](FILE *s) -> long { return listed([](FILE *to, va_list all) { return libc__IO_vfprintf(to, "%d,", all); }, s, 5); }},
    {"__vfprintf_chk",
     [](FILE *s) -> long { return listed([](FILE *to, va_list all) { return libc___vfprintf_chk(to, 1, "%d\n", all); }, s, 6); }},
};
constexpr Writes kToStandardOutput[] = {
    {"printf", [](FILE *) -> long { return libc_printf("%d,", 1); }},
    {"_IO_printf", [](FILE *) -> long { return libc__IO_printf("%d,", 2); }},
    {"__printf_chk", [](FILE *) -> long { return libc___printf_chk(1, "%d,", 3); }},
    {"vprintf", [](FILE *s) -> long { return listed([](FILE *, va_list all) { return libc_vprintf("%d,", all); }, s, 4); }},
    {"__vprintf_chk", [](FILE *s) -> long { return listed([](FILE *, va_list all) { return libc___vprintf_chk(1, "%d,", all); }, s, 5); }},
    {"puts", [](FILE *) -> long { return libc_puts("puts"); }},
    {"_IO_puts", [](FILE *) -> long { return libc__IO_puts("_IO_puts"); }},
    {"putchar", [](FILE *) -> long { return libc_putchar('x'); }},
    {"putchar_unlocked", [](FILE *) -> long { return libc_putchar_unlocked('y'); }},
};

struct Flushes {
    const char *name;
    int (*call)(FILE *);
};
constexpr Flushes kFlushes[] = {
    {"fflush", libc_fflush},
    {"fflush_unlocked", libc_fflush_unlocked},
    {"_IO_fflush", libc__IO_fflush},
    {"fflush of all", [](FILE *) { return libc_fflush(nullptr); }},
    {"_flushlbf",
     [](FILE *) {
         libc__flushlbf();
         return 0;
     }},
};

FILE *stream_of(const Connection &c) {
    FILE *stream = fdopen(c.fd, "w");
    if (stream == nullptr) die("fdopen");
    return stream;
}

/// %W of register_printf_function, which says the number with printf_size.
int print_size(FILE *stream, const printf_info *, const void *const *arguments) {
    printf_info how{};
    how.spec = 'F';
    how.prec = 0;
    const double number = **static_cast<double *const *>(arguments[0]);
    const void *const all[] = {&number};
    return printf_size(stream, &how, all);
}
int takes_a_pointer(const printf_info *, std::size_t n, int *types) {
    if (n > 0) types[0] = PA_POINTER;
    return 1;
}
int takes_a_sized_pointer(const printf_info *info, std::size_t n, int *types, int *) { return takes_a_pointer(info, n, types); }

}  // namespace

// Every function of libc that writes bytes to a stream.
Subject stream_writes() {
    Subject cases{"stream_writes"};
    cases.add("in_every_way", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        for (const auto &[name, call] : kToAnyStream) t.value(name, call(stream));
        t.value("fflush", fflush(stream));
        t.outcome("peer", c.peer.receive_up_to(87));
        t.still_works(c);
    });

    cases.add("without_a_buffer", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        setvbuf(stream, nullptr, _IONBF, 0);
        for (const auto &[name, call] : kToAnyStream) t.value(name, call(stream));
        t.outcome("peer", c.peer.receive_up_to(87));
        t.still_works(c);
    });

    cases.add("flushed_in_every_way", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        setvbuf(stream, nullptr, _IOLBF, BUFSIZ);  // _flushlbf is for such
        for (const auto &[name, call] : kFlushes) {
            fputs("some", stream);
            t.value(name, call(stream));
            t.outcome("peer", c.peer.receive_up_to(4));
        }
        t.still_works(c);
    });

    cases.add("standard_output", [](Case &t) {
        const auto c = t.connect();
        fflush(stdout);
        must("dup2", dup2(c.fd, STDOUT_FILENO));
        for (const auto &[name, call] : kToStandardOutput) t.value(name, call(nullptr));
        fflush(stdout);
        t.outcome("peer", c.peer.receive_up_to(26));
        t.still_works(c);
    });

    cases.add("to_a_descriptor", [](Case &t) {
        const auto c = t.connect();
        t.value("dprintf", libc_dprintf(c.fd, "%d,", 1));
        t.value("__dprintf_chk", libc___dprintf_chk(c.fd, 1, "%d,", 2));
        t.value("vdprintf", listed_to(
                                c.fd, [](int fd, va_list all) { return libc_vdprintf(fd, "%d,", all); }, 3));
        t.value("__vdprintf_chk", listed_to(
                                      c.fd, [](int fd, va_list all) { return libc___vdprintf_chk(fd, 1, "%d,", all); }, 4));
        t.outcome("peer", c.peer.receive_up_to(8));
        t.still_works(c);
    });

    cases.add("checked_list_to_a_descriptor", [](Case &t) {
        const auto c = t.connect();
        t.value("__vdprintf_chk", listed_to(
                                      c.fd, [](int fd, va_list all) { return libc___vdprintf_chk(fd, 1, "%d", all); }, 42));
        t.outcome("peer", c.peer.receive_up_to(2));
        t.still_works(c);
    });

    cases.add("backtrace_to_a_descriptor", [](Case &t) {
        const auto c = t.connect();
        void *const frame = reinterpret_cast<void *>(&fclose);
        libc___backtrace_symbols_fd(&frame, 1, c.fd);
        t.value("send", send(c.fd, "!", 1, 0));
        shutdown(c.fd, SHUT_WR);
        const Outcome all = c.peer.receive_to_end();
        t.yes_no("a name of libc", all.bytes.find("libc.so.6") != std::string::npos);
        t.yes_no("and what came behind it", all.bytes.back() == '!');
    });

    cases.add("conversions_of_our_own", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c);
        const double number = 3000;
        t.value("register_printf_function", register_printf_function('W', print_size, takes_a_pointer));
        t.value("fprintf", fprintf(stream, "%W ", &number));
        t.value("register_printf_specifier", register_printf_specifier('Y', print_size, takes_a_sized_pointer));
        t.value("fprintf", fprintf(stream, "%Y", &number));
        fflush(stream);
        t.outcome("peer", c.peer.receive_up_to(5));
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
