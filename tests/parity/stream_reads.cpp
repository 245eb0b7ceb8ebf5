#include <cstdarg>
#include <cstdio>
#include <string>

#include "libc_names.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(int, fgetc, (FILE *));
SANSOCK_LIBC(int, fgetc_unlocked, (FILE *));
SANSOCK_LIBC(int, getc, (FILE *));
SANSOCK_LIBC(int, getc_unlocked, (FILE *));
SANSOCK_LIBC(int, _IO_getc, (FILE *));
SANSOCK_LIBC(int, getw, (FILE *));
SANSOCK_LIBC(int, ungetc, (int, FILE *));
SANSOCK_LIBC(int, _IO_ungetc, (int, FILE *));
SANSOCK_LIBC(int, __uflow, (FILE *));
SANSOCK_LIBC(int, __underflow, (FILE *));
SANSOCK_LIBC(char *, fgets, (char *, int, FILE *));
SANSOCK_LIBC(char *, fgets_unlocked, (char *, int, FILE *));
SANSOCK_LIBC(char *, _IO_fgets, (char *, int, FILE *));
SANSOCK_LIBC(char *, __fgets_chk, (char *, std::size_t, int, FILE *));
SANSOCK_LIBC(char *, __fgets_unlocked_chk, (char *, std::size_t, int, FILE *));
SANSOCK_LIBC(ssize_t, getline, (char **, std::size_t *, FILE *));
SANSOCK_LIBC(ssize_t, getdelim, (char **, std::size_t *, int, FILE *));
SANSOCK_LIBC(ssize_t, __getdelim, (char **, std::size_t *, int, FILE *));
SANSOCK_LIBC(std::size_t, fread, (void *, std::size_t, std::size_t, FILE *));
SANSOCK_LIBC(std::size_t, fread_unlocked, (void *, std::size_t, std::size_t, FILE *));
SANSOCK_LIBC(std::size_t, _IO_fread, (void *, std::size_t, std::size_t, FILE *));
SANSOCK_LIBC(std::size_t, __fread_chk, (void *, std::size_t, std::size_t, std::size_t, FILE *));
SANSOCK_LIBC(std::size_t, __fread_unlocked_chk, (void *, std::size_t, std::size_t, std::size_t, FILE *));
SANSOCK_LIBC(int, fscanf, (FILE *, const char *, ...));
SANSOCK_LIBC(int, __isoc99_fscanf, (FILE *, const char *, ...));
SANSOCK_LIBC(int, vfscanf, (FILE *, const char *, va_list));
SANSOCK_LIBC(int, __vfscanf, (FILE *, const char *, va_list));
SANSOCK_LIBC(int, __isoc99_vfscanf, (FILE *, const char *, va_list));
SANSOCK_OLD_LIBC(int, _IO_vfscanf, (FILE *, const char *, va_list, int *));

SANSOCK_LIBC(int, getchar, ());
SANSOCK_LIBC(int, getchar_unlocked, ());
SANSOCK_LIBC(char *, gets, (char *));
SANSOCK_LIBC(char *, _IO_gets, (char *));
SANSOCK_LIBC(char *, __gets_chk, (char *, std::size_t));
SANSOCK_LIBC(int, scanf, (const char *, ...));
SANSOCK_LIBC(int, vscanf, (const char *, va_list));
SANSOCK_LIBC(int, __isoc99_scanf, (const char *, ...));
SANSOCK_LIBC(int, __isoc99_vscanf, (const char *, va_list));

constexpr int kRoom = 16;

struct ReadsCharacter {
    const char *name;
    int (*call)(FILE *);
};
constexpr ReadsCharacter kReadCharacters[] = {
    {"fgetc", libc_fgetc},
    {"fgetc_unlocked", libc_fgetc_unlocked},
    {"getc", libc_getc},
    {"getc_unlocked", libc_getc_unlocked},
    {"_IO_getc", libc__IO_getc},
    {"getw", libc_getw},
    {"__underflow", libc___underflow},  // leaves the byte where it is
    {"__uflow", libc___uflow},
    {"ungetc", [](FILE *stream) { return libc_ungetc('u', stream); }},
    {"what it put back", libc_fgetc},
    {"_IO_ungetc", [](FILE *stream) { return libc__IO_ungetc('v', stream); }},
    {"what it put back", libc_fgetc},
    {"getchar", [](FILE *) { return libc_getchar(); }},
    {"getchar_unlocked", [](FILE *) { return libc_getchar_unlocked(); }},
};
constexpr std::size_t kOnAnyStream = std::size(kReadCharacters) - 2;

struct ReadsLine {
    const char *name;
    const char *(*call)(char *, FILE *);
};
const char *line_in(char *room, ssize_t size, const char *allocated) {
    if (size < 0 || size >= kRoom) return nullptr;
    std::copy_n(allocated, size + 1, room);
    return room;
}
template <auto Function, auto... Delimiter>
const char *allocated_line(char *room, FILE *stream) {
    char *line = nullptr;
    std::size_t allocated = 0;
    const ssize_t size = Function(&line, &allocated, Delimiter..., stream);
    const char *found = line_in(room, size, line);
    free(line);
    return found;
}
constexpr ReadsLine kReadLines[] = {
    {"fgets", [](char *room, FILE *stream) -> const char * { return libc_fgets(room, kRoom, stream); }},
    {"fgets_unlocked", [](char *room, FILE *stream) -> const char * { return libc_fgets_unlocked(room, kRoom, stream); }},
    {"_IO_fgets", [](char *room, FILE *stream) -> const char * { return libc__IO_fgets(room, kRoom, stream); }},
    {"__fgets_chk", [](char *room, FILE *stream) -> const char * { return libc___fgets_chk(room, kRoom, kRoom, stream); }},
    {"__fgets_unlocked_chk",
     [](char *room, FILE *stream) -> const char * { return libc___fgets_unlocked_chk(room, kRoom, kRoom, stream); }},
    {"getline", allocated_line<libc_getline>},
    {"getdelim", allocated_line<libc_getdelim, '\n'>},
    {"__getdelim", allocated_line<libc___getdelim, '\n'>},
    {"gets", [](char *room, FILE *) -> const char * { return libc_gets(room); }},
    {"_IO_gets", [](char *room, FILE *) -> const char * { return libc__IO_gets(room); }},
    {"__gets_chk", [](char *room, FILE *) -> const char * { return libc___gets_chk(room, kRoom); }},
};
constexpr std::size_t kLinesOfAnyStream = std::size(kReadLines) - 3;

struct ReadsBlock {
    const char *name;
    std::size_t (*call)(void *, FILE *);
};
constexpr ReadsBlock kReadBlocks[] = {
    {"fread", [](void *room, FILE *stream) { return libc_fread(room, 1, 4, stream); }},
    {"fread_unlocked", [](void *room, FILE *stream) { return libc_fread_unlocked(room, 2, 2, stream); }},
    {"_IO_fread", [](void *room, FILE *stream) { return libc__IO_fread(room, 1, 4, stream); }},
    {"__fread_chk", [](void *room, FILE *stream) { return libc___fread_chk(room, kRoom, 1, 4, stream); }},
    {"__fread_unlocked_chk", [](void *room, FILE *stream) { return libc___fread_unlocked_chk(room, kRoom, 1, 4, stream); }},
};

/// Those that take a list of arguments get it from here.
int listed(int (*call)(FILE *, va_list), FILE *stream, ...) {
    va_list arguments;
    va_start(arguments, stream);
    const int result = call(stream, arguments);
    va_end(arguments);
    return result;
}

struct ReadsNumber {
    const char *name;
    int (*call)(FILE *, int *);
};
template <auto Function>
int from_list(FILE *stream, int *number) {
    return listed([](FILE *from, va_list arguments) { return Function(from, "%d", arguments); }, stream, number);
}
template <auto Function>
int from_list_of_input(FILE *, int *number) {
    return listed([](FILE *, va_list arguments) { return Function("%d", arguments); }, nullptr, number);
}
int old_from_list(FILE *from, const char *format, va_list arguments) { return libc__IO_vfscanf(from, format, arguments, nullptr); }
constexpr ReadsNumber kReadNumbers[] = {
    {"fscanf", [](FILE *stream, int *number) { return libc_fscanf(stream, "%d", number); }},
    {"__isoc99_fscanf", [](FILE *stream, int *number) { return libc___isoc99_fscanf(stream, "%d", number); }},
    {"vfscanf", from_list<libc_vfscanf>},
    {"__vfscanf", from_list<libc___vfscanf>},
    {"__isoc99_vfscanf", from_list<libc___isoc99_vfscanf>},
    {"_IO_vfscanf", from_list<old_from_list>},
    {"scanf", [](FILE *, int *number) { return libc_scanf("%d", number); }},
    {"__isoc99_scanf", [](FILE *, int *number) { return libc___isoc99_scanf("%d", number); }},
    {"vscanf", from_list_of_input<libc_vscanf>},
    {"__isoc99_vscanf", from_list_of_input<libc___isoc99_vscanf>},
};
constexpr std::size_t kNumbersOfAnyStream = std::size(kReadNumbers) - 4;

void read_characters(Case &t, FILE *stream, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) t.value(kReadCharacters[i].name, kReadCharacters[i].call(stream));
}
void read_lines(Case &t, FILE *stream, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
        char room[kRoom] = {};
        const char *line = kReadLines[i].call(room, stream);
        t.says(kReadLines[i].name, line != nullptr ? shown(line) : "nothing");
    }
}
void read_numbers(Case &t, FILE *stream, std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
        int number = -1;
        t.value(kReadNumbers[i].name, kReadNumbers[i].call(stream, &number));
        t.value("number", number);
    }
}

std::string lines(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += "line " + std::to_string(i) + "\n";
    return text;
}
std::string numbers(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += std::to_string(100 + i) + " ";
    return text;
}

FILE *stream_of(const Connection &c) {
    FILE *stream = fdopen(c.fd, "r");
    if (stream == nullptr) die("fdopen");
    return stream;
}

}  // namespace

// Every function of libc that reads bytes from a stream.
Subject stream_reads() {
    Subject cases{"stream_reads"};
    cases.add("characters", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcdeGETWx");
        FILE *stream = stream_of(c);
        read_characters(t, stream, 0, kOnAnyStream);
        t.still_works(c);
    });

    cases.add("lines", [](Case &t) {
        const auto c = t.connect();
        c.peer.send(lines(kLinesOfAnyStream));
        read_lines(t, stream_of(c), 0, kLinesOfAnyStream);
        t.still_works(c);
    });

    cases.add("blocks", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("one.two.thr.for.fiv.");
        FILE *stream = stream_of(c);
        for (const auto &[name, call] : kReadBlocks) {
            char room[kRoom];
            const std::size_t items = call(room, stream);
            t.value(name, static_cast<long>(items));
            t.says("bytes", shown({room, 4}));
        }
        t.still_works(c);
    });

    cases.add("numbers", [](Case &t) {
        const auto c = t.connect();
        c.peer.send(numbers(kNumbersOfAnyStream));
        read_numbers(t, stream_of(c), 0, kNumbersOfAnyStream);
        t.still_works(c);
    });

    cases.add("standard_input", [](Case &t) {
        const auto c = t.connect();
        must("dup2", dup2(c.fd, STDIN_FILENO));
        c.peer.send("ab" + lines(std::size(kReadLines) - kLinesOfAnyStream) + numbers(std::size(kReadNumbers) - kNumbersOfAnyStream));
        read_characters(t, nullptr, kOnAnyStream, std::size(kReadCharacters));
        read_lines(t, nullptr, kLinesOfAnyStream, std::size(kReadLines));
        read_numbers(t, nullptr, kNumbersOfAnyStream, std::size(kReadNumbers));
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
