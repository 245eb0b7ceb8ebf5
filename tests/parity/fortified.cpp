// Compiled with _FORTIFY_SOURCE=2, so that calls with a buffer of known size and a length of unknown size become libc's
// checking variants (__read_chk and its kin), which distributions' programs import instead of the plain ones.
#include <sys/select.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

/// The compiler cannot see through a volatile, so it does not know that the length fits.
volatile std::size_t hidden_length;
std::size_t unknown(std::size_t value) {
    hidden_length = value;
    return hidden_length;
}

}  // namespace

Subject fortified() {
    Subject cases{"fortified"};
    cases.add("read_checked", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("checked");
        char buffer[16];
        t.data("read", read(c.fd, buffer, unknown(16)), buffer);
    });

    cases.add("recv_checked", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("checked");
        char buffer[16];
        t.data("recv PEEK", recv(c.fd, buffer, unknown(16), MSG_PEEK), buffer);
        t.data("recv", recv(c.fd, buffer, unknown(16), 0), buffer);
        t.value("recv DONTWAIT", recv(c.fd, buffer, unknown(16), MSG_DONTWAIT));
    });

    cases.add("recvfrom_checked", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("checked");
        char buffer[16];
        Address from;
        t.data("recvfrom", recvfrom(c.fd, buffer, unknown(16), 0, from.get(), &from.length), buffer);
        t.value("length of the address", from.length);
    });

    cases.add("pread_checked", [](Case &t) {
        const auto c = t.connect();
        char buffer[16];
        t.value("pread", pread(c.fd, buffer, unknown(16), 0));
        t.value("pread64", pread64(c.fd, buffer, unknown(16), 0));
    });

    cases.add("poll_checked", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("x");
        t.await_unread(c.fd, 1);
        pollfd entries[2] = {{c.fd, POLLIN, 0}, {-1, 0, 0}};
        int ready = poll(entries, unknown(2), -1);
        t.events("poll", ready, static_cast<unsigned>(entries[0].revents));
        ready = ppoll(entries, unknown(2), nullptr, nullptr);
        t.events("ppoll", ready, static_cast<unsigned>(entries[0].revents));
    });

    cases.add("select_checked", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("x");
        const auto fd = static_cast<int>(unknown(static_cast<std::size_t>(c.fd)));
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(fd, &readable);
        t.value("select", select(fd + 1, &readable, nullptr, nullptr, nullptr));
        t.yes_no("readable", FD_ISSET(fd, &readable));
    });

    cases.add("stdio_checked", [](Case &t) {
        const auto c = t.connect();
        FILE *stream = fdopen(c.fd, "r+");
        c.peer.send("line\nrest");
        c.peer.shutdown(SHUT_WR);
        char buffer[16];
        const char *line = fgets(buffer, static_cast<int>(unknown(16)), stream);
        t.says("fgets", line != nullptr ? shown(line) : "nothing");
        t.data("fread", static_cast<ssize_t>(fread(buffer, 1, unknown(16), stream)), buffer);
        t.value("fprintf", fprintf(stream, "%zu", unknown(7)));
        t.value("fflush", fflush(stream));
        t.value("dprintf", dprintf(c.fd, "-%zu", unknown(8)));
        t.outcome("peer", c.peer.receive_up_to(3));
    });

    cases.add("overflow_is_still_caught", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("checked");
        const int child = must("fork", fork());
        if (child == 0) {
            close(STDERR_FILENO);  // where libc explains itself
            char buffer[4];
            const ssize_t n = recv(c.fd, buffer, unknown(16), 0);
            _exit(n > 0 ? 1 : 2);
        }
        int status = 0;
        must("waitpid", waitpid(child, &status, 0));
        t.says("recv of more than the buffer", WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "returned");
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });
    return cases;
}

}  // namespace sansock::parity
