#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "libio.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(unsigned, _IO_adjust_column, (unsigned, const char *, int));
SANSOCK_LIBC(int, _IO_default_doallocate, (FILE *));
SANSOCK_LIBC(void, _IO_default_finish, (FILE *, int));
SANSOCK_LIBC(int, _IO_default_pbackfail, (FILE *, int));
SANSOCK_LIBC(int, _IO_default_uflow, (FILE *));
SANSOCK_LIBC(std::size_t, _IO_default_xsgetn, (FILE *, void *, std::size_t));
SANSOCK_LIBC(std::size_t, _IO_default_xsputn, (FILE *, const void *, std::size_t));
SANSOCK_LIBC(int, _IO_do_write, (FILE *, const char *, std::size_t));
SANSOCK_LIBC(void, _IO_doallocbuf, (FILE *));
SANSOCK_LIBC(FILE *, _IO_file_attach, (FILE *, int));
SANSOCK_LIBC(int, _IO_file_close, (FILE *));
SANSOCK_LIBC(int, _IO_file_close_it, (FILE *));
SANSOCK_LIBC(int, _IO_file_doallocate, (FILE *));
SANSOCK_LIBC(void, _IO_file_finish, (FILE *, int));
SANSOCK_LIBC(FILE *, _IO_file_fopen, (FILE *, const char *, const char *, int));
SANSOCK_LIBC(FILE *, _IO_file_open, (FILE *, const char *, int, int, int, int));
SANSOCK_LIBC(int, _IO_file_overflow, (FILE *, int));
SANSOCK_LIBC(ssize_t, _IO_file_read, (FILE *, void *, ssize_t));
SANSOCK_LIBC(off64_t, _IO_file_seek, (FILE *, off64_t, int));
SANSOCK_LIBC(off64_t, _IO_file_seekoff, (FILE *, off64_t, int, int));
SANSOCK_LIBC(FILE *, _IO_file_setbuf, (FILE *, char *, ssize_t));
SANSOCK_LIBC(int, _IO_file_stat, (FILE *, void *));
SANSOCK_LIBC(int, _IO_file_sync, (FILE *));
SANSOCK_LIBC(int, _IO_file_underflow, (FILE *));
SANSOCK_LIBC(ssize_t, _IO_file_write, (FILE *, const void *, ssize_t));
SANSOCK_LIBC(std::size_t, _IO_file_xsputn, (FILE *, const void *, std::size_t));
SANSOCK_LIBC(int, _IO_flush_all, ());
SANSOCK_LIBC(void, _IO_flush_all_linebuffered, ());
SANSOCK_LIBC(void, _IO_free_backup_area, (FILE *));
SANSOCK_LIBC(std::size_t, _IO_getline, (FILE *, char *, std::size_t, int, int));
SANSOCK_LIBC(std::size_t, _IO_getline_info, (FILE *, char *, std::size_t, int, int, int *));
SANSOCK_LIBC(void, _IO_init_marker, (Marker *, FILE *));
SANSOCK_LIBC(void, _IO_remove_marker, (Marker *));
SANSOCK_LIBC(int, _IO_marker_delta, (Marker *));
SANSOCK_LIBC(int, _IO_marker_difference, (Marker *, Marker *));
SANSOCK_LIBC(int, _IO_seekmark, (FILE *, Marker *, int));
SANSOCK_LIBC(void, _IO_unsave_markers, (FILE *));
SANSOCK_LIBC(FILE *, _IO_iter_begin, ());
SANSOCK_LIBC(FILE *, _IO_iter_end, ());
SANSOCK_LIBC(FILE *, _IO_iter_next, (FILE *));
SANSOCK_LIBC(FILE *, _IO_iter_file, (FILE *));
SANSOCK_LIBC(void, _IO_list_lock, ());
SANSOCK_LIBC(void, _IO_list_unlock, ());
SANSOCK_LIBC(void, _IO_list_resetlock, ());
SANSOCK_LIBC(void, _IO_link_in, (FILE *));
SANSOCK_LIBC(void, _IO_un_link, (FILE *));
SANSOCK_LIBC(ssize_t, _IO_padn, (FILE *, int, ssize_t));
SANSOCK_LIBC(int, _IO_peekc_locked, (FILE *));
SANSOCK_LIBC(off64_t, _IO_seekoff, (FILE *, off64_t, int, int));
SANSOCK_LIBC(off64_t, _IO_seekpos, (FILE *, off64_t, int));
SANSOCK_LIBC(void, _IO_setb, (FILE *, char *, char *, int));
SANSOCK_LIBC(std::size_t, _IO_sgetn, (FILE *, void *, std::size_t));
SANSOCK_LIBC(int, _IO_sputbackc, (FILE *, int));
SANSOCK_LIBC(int, _IO_sungetc, (FILE *));
SANSOCK_LIBC(int, _IO_switch_to_get_mode, (FILE *));
SANSOCK_LIBC(void, _IO_str_init_static, (RawStream *, char *, int, char *));
SANSOCK_LIBC(void, _IO_str_init_readonly, (RawStream *, const char *, int));
SANSOCK_LIBC(int, _IO_str_overflow, (FILE *, int));
SANSOCK_LIBC(int, _IO_str_underflow, (FILE *));
SANSOCK_LIBC(int, _IO_str_pbackfail, (FILE *, int));
SANSOCK_LIBC(off64_t, _IO_str_seekoff, (FILE *, off64_t, int, int));

constexpr int kBothWays = 3;  // _IOS_INPUT | _IOS_OUTPUT

FILE *stream_of(const Connection &c, const char *mode) {
    FILE *stream = fdopen(c.fd, mode);
    if (stream == nullptr) die("fdopen");
    return stream;
}

void put_back(Case &t, FILE *stream) {
    t.value("_IO_sungetc", libc__IO_sungetc(stream));
    t.value("fgetc", fgetc(stream));
    t.value("_IO_sputbackc", libc__IO_sputbackc(stream, 'p'));
    t.value("fgetc", fgetc(stream));
    t.value("_IO_default_pbackfail", libc__IO_default_pbackfail(stream, 'q'));
    t.value("fgetc", fgetc(stream));
    libc__IO_free_backup_area(stream);
}

void mark(Case &t, FILE *stream) {
    Marker here{}, there{};
    libc__IO_init_marker(&here, stream);
    t.value("fgetc", fgetc(stream));
    libc__IO_init_marker(&there, stream);
    t.value("fgetc", fgetc(stream));
    t.value("_IO_marker_difference", libc__IO_marker_difference(&here, &there));
    t.value("_IO_marker_delta", libc__IO_marker_delta(&here));
    t.value("_IO_seekmark", libc__IO_seekmark(stream, &there, 0));
    t.value("fgetc", fgetc(stream));
    libc__IO_remove_marker(&there);
    libc__IO_unsave_markers(stream);
}

}  // namespace

// The insides of libc's streams, which programs linked long ago call.
Subject stream_insides() {
    Subject cases{"stream_insides"};
    cases.add("that_read", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c, "r");
        char room[16];
        int end = 0;
        c.peer.send("abcdefghijklmnop");
        t.value("_IO_file_underflow", libc__IO_file_underflow(stream));
        t.value("_IO_default_uflow", libc__IO_default_uflow(stream));
        t.value("_IO_peekc_locked", libc__IO_peekc_locked(stream));
        t.data("_IO_sgetn", static_cast<ssize_t>(libc__IO_sgetn(stream, room, 2)), room);
        t.data("_IO_default_xsgetn", static_cast<ssize_t>(libc__IO_default_xsgetn(stream, room, 2)), room);
        t.data("_IO_getline", static_cast<ssize_t>(libc__IO_getline(stream, room, 4, 'h', 1)), room);
        t.data("_IO_getline_info", static_cast<ssize_t>(libc__IO_getline_info(stream, room, 4, 'k', 1, &end)), room);
        put_back(t, stream);
        mark(t, stream);
        t.value("_IO_switch_to_get_mode", libc__IO_switch_to_get_mode(stream));
        c.peer.send("straight");
        t.data("_IO_file_read", libc__IO_file_read(stream, room, sizeof room), room);
        t.still_works(c);
    });

    cases.add("that_write", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c, "w");
        libc__IO_doallocbuf(stream);
        t.value("_IO_file_xsputn", static_cast<long>(libc__IO_file_xsputn(stream, "one,", 4)));
        t.value("_IO_default_xsputn", static_cast<long>(libc__IO_default_xsputn(stream, "two,", 4)));
        t.value("_IO_padn", libc__IO_padn(stream, '.', 3));
        t.value("_IO_file_overflow", libc__IO_file_overflow(stream, '!'));
        t.value("_IO_file_sync", libc__IO_file_sync(stream));
        t.outcome("peer", c.peer.receive_up_to(12));
        t.value("_IO_file_write", libc__IO_file_write(stream, "straight", 8));
        t.value("_IO_do_write", libc__IO_do_write(stream, "done", 4));
        t.outcome("peer", c.peer.receive_up_to(12));
        fputs("three", stream);
        t.value("_IO_flush_all", libc__IO_flush_all());
        t.outcome("peer", c.peer.receive_up_to(5));
        setlinebuf(stream);
        fputs("four", stream);
        libc__IO_flush_all_linebuffered();
        t.outcome("peer", c.peer.receive_up_to(4));
        t.value("_IO_adjust_column", libc__IO_adjust_column(0, "ab\ncd", 5));
        t.still_works(c);
    });

    cases.add("about_positions_and_buffers", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c, "r+");
        static char room[32], more[32];
        struct stat status {};
        t.value("_IO_file_seek", libc__IO_file_seek(stream, 0, SEEK_CUR));
        t.value("_IO_file_seekoff", libc__IO_file_seekoff(stream, 0, SEEK_SET, kBothWays));
        t.value("_IO_seekoff", libc__IO_seekoff(stream, 0, SEEK_SET, kBothWays));
        t.value("_IO_seekpos", libc__IO_seekpos(stream, 0, kBothWays));
        t.value("_IO_file_stat", libc__IO_file_stat(stream, &status));
        t.yes_no("a socket", S_ISSOCK(status.st_mode));
        t.yes_no("_IO_file_setbuf", libc__IO_file_setbuf(stream, room, sizeof room) == stream);
        fputs("through one,", stream);
        fflush(stream);
        libc__IO_setb(stream, more, more + sizeof more, 0);
        fputs("through another", stream);
        fflush(stream);
        t.outcome("peer", c.peer.receive_up_to(27));
        t.still_works(c);
    });

    cases.add("that_allocate", [](Case &t) {
        const auto one = t.connect(), other = t.connect();
        FILE *first = stream_of(one, "w"), *second = stream_of(other, "w");
        t.value("_IO_file_doallocate", libc__IO_file_doallocate(first));
        t.value("_IO_default_doallocate", libc__IO_default_doallocate(second));
        fputs("first", first);
        fputs("second", second);
        fflush(nullptr);
        t.outcome("peer", one.peer.receive_up_to(5));
        t.outcome("peer", other.peer.receive_up_to(6));
        t.still_works(one);
        t.still_works(other);
    });

    cases.add("about_the_list_of_all", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = stream_of(c, "w");
        const auto listed = [stream] {
            bool found = false;
            libc__IO_list_lock();
            for (FILE *at = libc__IO_iter_begin(); at != libc__IO_iter_end(); at = libc__IO_iter_next(at))
                found |= libc__IO_iter_file(at) == stream;
            libc__IO_list_unlock();
            return found;
        };
        t.yes_no("in the list", listed());
        libc__IO_un_link(stream);
        t.yes_no("in the list", listed());
        libc__IO_link_in(stream);
        t.yes_no("in the list", listed());
        libc__IO_list_resetlock();
        t.yes_no("its functions are those of files",
                 reinterpret_cast<RawStream *>(stream)->jumps == static_cast<const void *>(_IO_file_jumps));
        fputs("text", stream);
        fflush(stream);
        t.outcome("peer", c.peer.receive_up_to(4));
        t.still_works(c);
    });

    cases.add("attached_to_a_connection", [](Case &t) {
        const auto c = t.connect();
        static RawStream stream;
        char room[8];
        make(stream);
        t.yes_no("_IO_file_attach", libc__IO_file_attach(&stream.file, c.fd) == &stream.file);
        t.value("fputs", fputs("text", &stream.file) >= 0);
        t.value("fflush", fflush(&stream.file));
        t.outcome("peer", c.peer.receive_up_to(4));
        c.peer.send("back");
        t.data("fread", static_cast<ssize_t>(fread(room, 1, 4, &stream.file)), room);
        t.still_works(c);
        t.value("_IO_file_close_it", libc__IO_file_close_it(&stream.file));
    });

    cases.add("of_files", [](Case &t) {
        const auto c = t.connect();
        static RawStream written, read, another;
        make(written);
        t.yes_no("_IO_file_open", libc__IO_file_open(&written.file, "file", O_CREAT | O_RDWR, 0600, 0, 0) == &written.file);
        t.value("_IO_file_write", libc__IO_file_write(&written.file, "text", 4));
        t.value("_IO_file_close", libc__IO_file_close(&written.file));
        libc__IO_un_link(&written.file);
        make(read);
        t.yes_no("_IO_file_fopen", libc__IO_file_fopen(&read.file, "file", "r", 1) == &read.file);
        t.value("fgetc", fgetc(&read.file));
        libc__IO_file_finish(&read.file, 0);
        make(another);
        libc__IO_default_finish(&another.file, 0);
        t.still_works(c);
    });

    cases.add("of_memory", [](Case &t) {
        const auto c = t.connect();
        static RawStream stream;
        static char room[8] = "abc";
        make(stream);
        libc__IO_str_init_static(&stream, room, sizeof room, room + 3);
        t.value("_IO_str_overflow", libc__IO_str_overflow(&stream.file, 'd'));
        t.value("_IO_str_underflow", libc__IO_str_underflow(&stream.file));
        t.value("_IO_str_seekoff", libc__IO_str_seekoff(&stream.file, 2, SEEK_SET, 1));
        t.value("_IO_str_pbackfail", libc__IO_str_pbackfail(&stream.file, 'b'));
        libc__IO_str_init_readonly(&stream, "xyz", 3);
        t.value("_IO_str_underflow", libc__IO_str_underflow(&stream.file));
        t.value("_IO_str_overflow", libc__IO_str_overflow(&stream.file, 'd'));
        libc__IO_un_link(&stream.file);
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
