#include <cstdio>
#include <cwchar>
#include <string>

#include "libio.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

SANSOCK_LIBC(unsigned, _IO_adjust_wcolumn, (unsigned, const wchar_t *, int));
SANSOCK_LIBC(void, _IO_free_wbackup_area, (FILE *));
SANSOCK_LIBC(void, _IO_init_wmarker, (Marker *, FILE *));
SANSOCK_LIBC(wchar_t *, _IO_least_wmarker, (FILE *, wchar_t *));
SANSOCK_LIBC(int, _IO_seekwmark, (FILE *, Marker *, int));
SANSOCK_LIBC(wint_t, _IO_sputbackwc, (FILE *, wint_t));
SANSOCK_LIBC(wint_t, _IO_sungetwc, (FILE *));
SANSOCK_LIBC(void, _IO_switch_to_main_wget_area, (FILE *));
SANSOCK_LIBC(void, _IO_switch_to_wbackup_area, (FILE *));
SANSOCK_LIBC(int, _IO_switch_to_wget_mode, (FILE *));
SANSOCK_LIBC(void, _IO_unsave_wmarkers, (FILE *));
SANSOCK_LIBC(int, _IO_wdefault_doallocate, (FILE *));
SANSOCK_LIBC(void, _IO_wdefault_finish, (FILE *, int));
SANSOCK_LIBC(wint_t, _IO_wdefault_pbackfail, (FILE *, wint_t));
SANSOCK_LIBC(wint_t, _IO_wdefault_uflow, (FILE *));
SANSOCK_LIBC(std::size_t, _IO_wdefault_xsgetn, (FILE *, void *, std::size_t));
SANSOCK_LIBC(std::size_t, _IO_wdefault_xsputn, (FILE *, const void *, std::size_t));
SANSOCK_LIBC(int, _IO_wdo_write, (FILE *, const wchar_t *, std::size_t));
SANSOCK_LIBC(void, _IO_wdoallocbuf, (FILE *));
SANSOCK_LIBC(wint_t, _IO_wfile_overflow, (FILE *, wint_t));
SANSOCK_LIBC(off64_t, _IO_wfile_seekoff, (FILE *, off64_t, int, int));
SANSOCK_LIBC(wint_t, _IO_wfile_sync, (FILE *));
SANSOCK_LIBC(wint_t, _IO_wfile_underflow, (FILE *));
SANSOCK_LIBC(std::size_t, _IO_wfile_xsputn, (FILE *, const void *, std::size_t));
SANSOCK_LIBC(int, _IO_wmarker_delta, (Marker *));
SANSOCK_LIBC(void, _IO_wsetb, (FILE *, wchar_t *, wchar_t *, int));

FILE *wide_stream_of(const Connection &c, const char *mode) {
    FILE *stream = fdopen(c.fd, mode);
    if (stream == nullptr || fwide(stream, 1) <= 0) die("fdopen");
    return stream;
}

std::string narrow(const wchar_t *text, std::size_t count) { return {text, text + count}; }

}  // namespace

// The same for wide characters.
Subject stream_wide_insides() {
    Subject cases{"stream_wide_insides"};
    cases.add("that_read", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = wide_stream_of(c, "r");
        wchar_t room[16];
        c.peer.send("abcdefgh");
        t.value("_IO_wfile_underflow", libc__IO_wfile_underflow(stream));
        t.value("_IO_wdefault_uflow", libc__IO_wdefault_uflow(stream));
        const std::size_t count = libc__IO_wdefault_xsgetn(stream, room, 2);
        t.says("_IO_wdefault_xsgetn", shown(narrow(room, count)));
        t.value("_IO_sungetwc", static_cast<int>(libc__IO_sungetwc(stream)));
        t.value("fgetwc", fgetwc(stream));
        t.value("_IO_sputbackwc", static_cast<int>(libc__IO_sputbackwc(stream, L'p')));
        t.value("fgetwc", fgetwc(stream));
        t.value("_IO_wdefault_pbackfail", static_cast<int>(libc__IO_wdefault_pbackfail(stream, L'q')));
        libc__IO_switch_to_main_wget_area(stream);
        libc__IO_switch_to_wbackup_area(stream);
        t.value("fgetwc", fgetwc(stream));
        t.value("fgetwc", fgetwc(stream));
        libc__IO_free_wbackup_area(stream);
        t.still_works(c);
    });

    cases.add("that_mark", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = wide_stream_of(c, "r");
        Marker here{};
        c.peer.send("abcdefgh");
        t.value("fgetwc", fgetwc(stream));
        libc__IO_init_wmarker(&here, stream);
        t.value("fgetwc", fgetwc(stream));
        t.value("_IO_wmarker_delta", libc__IO_wmarker_delta(&here));
        t.yes_no("_IO_least_wmarker", libc__IO_least_wmarker(stream, nullptr) != nullptr);
        t.value("_IO_seekwmark", libc__IO_seekwmark(stream, &here, 0));
        t.value("fgetwc", fgetwc(stream));
        libc__IO_unsave_wmarkers(stream);
        t.value("_IO_switch_to_wget_mode", libc__IO_switch_to_wget_mode(stream));
        t.value("fgetwc", fgetwc(stream));
        t.still_works(c);
    });

    cases.add("that_write", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = wide_stream_of(c, "w");
        libc__IO_wdoallocbuf(stream);
        t.value("_IO_wfile_overflow", static_cast<int>(libc__IO_wfile_overflow(stream, L'!')));
        t.value("_IO_wfile_xsputn", static_cast<long>(libc__IO_wfile_xsputn(stream, L"one,", 4)));
        t.value("_IO_wdefault_xsputn", static_cast<long>(libc__IO_wdefault_xsputn(stream, L"two,", 4)));
        t.value("_IO_wfile_sync", static_cast<int>(libc__IO_wfile_sync(stream)));
        t.outcome("peer", c.peer.receive_up_to(9));
        t.value("_IO_wdo_write", libc__IO_wdo_write(stream, L"straight", 8));
        fflush(stream);
        t.outcome("peer", c.peer.receive_up_to(8));
        t.value("_IO_wfile_seekoff", libc__IO_wfile_seekoff(stream, 0, SEEK_SET, 1));
        t.value("_IO_adjust_wcolumn", libc__IO_adjust_wcolumn(0, L"ab\ncd", 5));
        t.yes_no("its functions are those of wide files",
                 reinterpret_cast<RawStream *>(stream)->jumps == static_cast<const void *>(_IO_wfile_jumps));
        t.still_works(c);
    });

    cases.add("about_buffers", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = wide_stream_of(c, "w");
        static wchar_t room[32];
        t.value("_IO_wdefault_doallocate", libc__IO_wdefault_doallocate(stream));
        libc__IO_wsetb(stream, room, room + std::size(room), 0);
        t.value("fputws", fputws(L"through it", stream) >= 0);
        fflush(stream);
        t.outcome("peer", c.peer.receive_up_to(10));
        t.still_works(c);
        libc__IO_wdefault_finish(stream, 0);
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
