#include <cstdarg>
#include <cstdio>
#include <cwchar>
#include <iterator>
#include <string>

#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(wint_t, fgetwc, (FILE *));
SANSOCK_LIBC(wint_t, fgetwc_unlocked, (FILE *));
SANSOCK_LIBC(wint_t, getwc, (FILE *));
SANSOCK_LIBC(wint_t, getwc_unlocked, (FILE *));
SANSOCK_LIBC(wint_t, ungetwc, (wint_t, FILE *));
SANSOCK_LIBC(wint_t, __wuflow, (FILE *));
SANSOCK_LIBC(wint_t, __wunderflow, (FILE *));
SANSOCK_LIBC(wint_t, __woverflow, (FILE *, wint_t));
SANSOCK_LIBC(wchar_t *, fgetws, (wchar_t *, int, FILE *));
SANSOCK_LIBC(wchar_t *, fgetws_unlocked, (wchar_t *, int, FILE *));
SANSOCK_LIBC(wchar_t *, __fgetws_chk, (wchar_t *, std::size_t, int, FILE *));
SANSOCK_LIBC(wchar_t *, __fgetws_unlocked_chk, (wchar_t *, std::size_t, int, FILE *));
SANSOCK_LIBC(int, fwscanf, (FILE *, const wchar_t *, ...));
SANSOCK_LIBC(int, __isoc99_fwscanf, (FILE *, const wchar_t *, ...));
SANSOCK_LIBC(int, vfwscanf, (FILE *, const wchar_t *, va_list));
SANSOCK_LIBC(int, __isoc99_vfwscanf, (FILE *, const wchar_t *, va_list));
SANSOCK_LIBC(wint_t, fputwc, (wchar_t, FILE *));
SANSOCK_LIBC(wint_t, fputwc_unlocked, (wchar_t, FILE *));
SANSOCK_LIBC(wint_t, putwc, (wchar_t, FILE *));
SANSOCK_LIBC(wint_t, putwc_unlocked, (wchar_t, FILE *));
SANSOCK_LIBC(int, fputws, (const wchar_t *, FILE *));
SANSOCK_LIBC(int, fputws_unlocked, (const wchar_t *, FILE *));
SANSOCK_LIBC(int, fwprintf, (FILE *, const wchar_t *, ...));
SANSOCK_LIBC(int, __fwprintf_chk, (FILE *, int, const wchar_t *, ...));
SANSOCK_LIBC(int, vfwprintf, (FILE *, const wchar_t *, va_list));
SANSOCK_LIBC(int, __vfwprintf_chk, (FILE *, int, const wchar_t *, va_list));
SANSOCK_LIBC(int, fwide, (FILE *, int));

SANSOCK_LIBC(wint_t, getwchar, ());
SANSOCK_LIBC(wint_t, getwchar_unlocked, ());
SANSOCK_LIBC(int, wscanf, (const wchar_t *, ...));
SANSOCK_LIBC(int, __isoc99_wscanf, (const wchar_t *, ...));
SANSOCK_LIBC(int, vwscanf, (const wchar_t *, va_list));
SANSOCK_LIBC(int, __isoc99_vwscanf, (const wchar_t *, va_list));
SANSOCK_LIBC(wint_t, putwchar, (wchar_t));
SANSOCK_LIBC(wint_t, putwchar_unlocked, (wchar_t));
SANSOCK_LIBC(int, wprintf, (const wchar_t *, ...));
SANSOCK_LIBC(int, __wprintf_chk, (int, const wchar_t *, ...));
SANSOCK_LIBC(int, vwprintf, (const wchar_t *, va_list));
SANSOCK_LIBC(int, __vwprintf_chk, (int, const wchar_t *, va_list));

constexpr int kRoom = 16;

struct Character {
    const char *name;
    wint_t (*call)(FILE *);
};
constexpr Character kRead[] = {
    {"fgetwc", libc_fgetwc},
    {"fgetwc_unlocked", libc_fgetwc_unlocked},
    {"getwc", libc_getwc},
    {"getwc_unlocked", libc_getwc_unlocked},
    {"__wunderflow", libc___wunderflow},  // leaves the character where it is
    {"__wuflow", libc___wuflow},
    {"ungetwc", [](FILE *s) { return libc_ungetwc(L'u', s); }},
    {"what it put back", libc_fgetwc},
};
constexpr Character kReadInput[] = {
    {"getwchar", [](FILE *) { return libc_getwchar(); }},
    {"getwchar_unlocked", [](FILE *) { return libc_getwchar_unlocked(); }},
};
constexpr Character kWritten[] = {
    {"fputwc", [](FILE *s) { return libc_fputwc(L'a', s); }},
    {"fputwc_unlocked", [](FILE *s) { return libc_fputwc_unlocked(L'b', s); }},
    {"putwc", [](FILE *s) { return libc_putwc(L'c', s); }},
    {"putwc_unlocked", [](FILE *s) { return libc_putwc_unlocked(L'd', s); }},
    {"__woverflow", [](FILE *s) { return libc___woverflow(s, L'e'); }},
};
constexpr Character kWrittenOutput[] = {
    {"putwchar", [](FILE *) { return libc_putwchar(L'x'); }},
    {"putwchar_unlocked", [](FILE *) { return libc_putwchar_unlocked(L'y'); }},
};

struct Line {
    const char *name;
    wchar_t *(*call)(wchar_t *, FILE *);
};
constexpr Line kLines[] = {
    {"fgetws", [](wchar_t *room, FILE *s) { return libc_fgetws(room, kRoom, s); }},
    {"fgetws_unlocked", [](wchar_t *room, FILE *s) { return libc_fgetws_unlocked(room, kRoom, s); }},
    {"__fgetws_chk", [](wchar_t *room, FILE *s) { return libc___fgetws_chk(room, kRoom, kRoom, s); }},
    {"__fgetws_unlocked_chk", [](wchar_t *room, FILE *s) { return libc___fgetws_unlocked_chk(room, kRoom, kRoom, s); }},
};

/// Those that take a list of arguments get it from here.
int listed(int (*call)(FILE *, va_list), FILE *stream, ...) {
    va_list arguments;
    va_start(arguments, stream);
    const int result = call(stream, arguments);
    va_end(arguments);
    return result;
}

struct Number {
    const char *name;
    int (*call)(FILE *, int *);
};
constexpr Number kNumbers[] = {
    {"fwscanf", [](FILE *s, int *number) { return libc_fwscanf(s, L"%d", number); }},
    {"__isoc99_fwscanf", [](FILE *s, int *number) { return libc___isoc99_fwscanf(s, L"%d", number); }},
    {"vfwscanf",
     [](FILE *s, int *number) { return listed([](FILE *from, va_list all) { return libc_vfwscanf(from, L"%d", all); }, s, number); }},
    {"__isoc99_vfwscanf",
     [](FILE *s, int *number) {
         return listed([](FILE *from, va_list all) { return libc___isoc99_vfwscanf(from, L"%d", all); }, s, number);
     }},
};
constexpr Number kNumbersOfInput[] = {
    {"wscanf", [](FILE *, int *number) { return libc_wscanf(L"%d", number); }},
    {"__isoc99_wscanf", [](FILE *, int *number) { return libc___isoc99_wscanf(L"%d", number); }},
    {"vwscanf", [](FILE *s, int *number) { return listed([](FILE *, va_list all) { return libc_vwscanf(L"%d", all); }, s, number); }},
    {"__isoc99_vwscanf",
     [](FILE *s, int *number) { return listed([](FILE *, va_list all) { return libc___isoc99_vwscanf(L"%d", all); }, s, number); }},
};

struct Text {
    const char *name;
    int (*call)(FILE *);
};
constexpr Text kTexts[] = {
    {"fputws", [](FILE *s) { return libc_fputws(L"fputws,", s); }},
    {"fputws_unlocked", [](FILE *s) { return libc_fputws_unlocked(L"fputws_unlocked,", s); }},
    {"fwprintf", [](FILE *s) { return libc_fwprintf(s, L"%ls %d,", L"wide", 1); }},
    {"__fwprintf_chk", [](FILE *s) { return libc___fwprintf_chk(s, 1, L"%d,", 2); }},
    {"vfwprintf", [](FILE *s) { return listed([](FILE *to, va_list all) { return libc_vfwprintf(to, L"%d,", all); }, s, 3); }},
    {"__vfwprintf_chk",
     [](FILE *s) { return listed([](FILE *to, va_list all) { return libc___vfwprintf_chk(to, 1, L"%d,", all); }, s, 4); }},
};
constexpr Text kTextsOfOutput[] = {
    {"wprintf", [](FILE *) { return libc_wprintf(L"%d,", 1); }},
    {"__wprintf_chk", [](FILE *) { return libc___wprintf_chk(1, L"%d,", 2); }},
    {"vwprintf", [](FILE *s) { return listed([](FILE *, va_list all) { return libc_vwprintf(L"%d,", all); }, s, 3); }},
    {"__vwprintf_chk", [](FILE *s) { return listed([](FILE *, va_list all) { return libc___vwprintf_chk(1, L"%d,", all); }, s, 4); }},
};

template <std::size_t N>
void characters(Case &t, const Character (&all)[N], FILE *stream) {
    for (const auto &[name, call] : all) t.value(name, static_cast<int>(call(stream)));
}
template <std::size_t N>
void numbers(Case &t, const Number (&all)[N], FILE *stream) {
    for (const auto &[name, call] : all) {
        int number = -1;
        t.value(name, call(stream, &number));
        t.value("number", number);
    }
}
template <std::size_t N>
void texts(Case &t, const Text (&all)[N], FILE *stream) {
    for (const auto &[name, call] : all) t.value(name, call(stream));
}

FILE *stream_of(const Connection &c, const char *mode) {
    FILE *stream = fdopen(c.fd, mode);
    if (stream == nullptr) die("fdopen");
    return stream;
}

}  // namespace

// Every function of libc that reads or writes wide characters.
Subject stream_wide() {
    Subject cases{"stream_wide"};
    cases.add("read", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c, "r");
        t.yes_no("wide before", libc_fwide(stream, 0) > 0);
        t.yes_no("wide", libc_fwide(stream, 1) > 0);
        c.peer.send("abcde");
        characters(t, kRead, stream);
        c.peer.send("one\ntwo\nthree\nfour\n");
        for (const auto &[name, call] : kLines) {
            wchar_t room[kRoom];
            const wchar_t *line = call(room, stream);
            t.says(name, line == nullptr ? "nothing" : shown(std::string(line, line + wcslen(line))));
        }
        c.peer.send("1 2 3 4 ");
        numbers(t, kNumbers, stream);
        t.still_works(c);
    });

    cases.add("written", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c, "w");
        t.yes_no("wide", libc_fwide(stream, 1) > 0);
        characters(t, kWritten, stream);
        texts(t, kTexts, stream);
        fflush(stream);
        t.outcome("peer", c.peer.receive_up_to(41));
        t.still_works(c);
    });

    cases.add("standard_input", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, STDIN_FILENO));
        c.peer.send("ab1 2 3 4 ");
        characters(t, kReadInput, nullptr);
        numbers(t, kNumbersOfInput, nullptr);
        t.still_works(c);
    });

    cases.add("standard_output", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, STDOUT_FILENO));
        characters(t, kWrittenOutput, nullptr);
        texts(t, kTextsOfOutput, nullptr);
        fflush(stdout);
        t.outcome("peer", c.peer.receive_up_to(10));
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
