#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "pattern.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

int file_with_pattern(std::size_t size, std::uint64_t seed) {
    const int file = must("memfd_create", memfd_create("parity", MFD_CLOEXEC));
    std::vector<char> bytes(size);
    Pattern(seed).fill(bytes.data(), size);
    must("write", write(file, bytes.data(), size));
    must("lseek", lseek(file, 0, SEEK_SET));
    return file;
}

int file_with(const char *text) {
    const int file = must("memfd_create", memfd_create("parity", MFD_CLOEXEC));
    must("write", write(file, text, strlen(text)));
    must("lseek", lseek(file, 0, SEEK_SET));
    return file;
}

}  // namespace

// Calls that move bytes between a connection and another descriptor inside the kernel.
Subject files() {
    Subject cases{"files"};
    cases.add("sendfile_from_its_position", [](Case &t) {
        const auto c = t.connect();
        const int file = file_with("0123456789");
        t.value("sendfile 4", sendfile(c.fd, file, nullptr, 4));
        t.value("position", lseek(file, 0, SEEK_CUR));
        t.value("sendfile 100", sendfile(c.fd, file, nullptr, 100));
        t.value("sendfile at the end", sendfile(c.fd, file, nullptr, 100));
        t.outcome("peer", c.peer.receive_up_to(10));
    });

    cases.add("sendfile_from_an_offset", [](Case &t) {
        const auto c = t.connect();
        const int file = file_with("0123456789");
        off_t offset = 3;
        t.value("sendfile", sendfile(c.fd, file, &offset, 4));
        t.value("offset", offset);
        t.value("position", lseek(file, 0, SEEK_CUR));
        off64_t offset64 = 8;
        t.value("sendfile64", sendfile64(c.fd, file, &offset64, 100));
        t.value("offset", offset64);
        t.outcome("peer", c.peer.receive_up_to(6));
    });

    cases.add("sendfile_between_sends", [](Case &t) {
        const auto c = t.connect();
        const int file = file_with("<file>");
        t.value("send", send(c.fd, "head ", 5, MSG_MORE));
        t.value("sendfile", sendfile(c.fd, file, nullptr, 6));
        t.value("send", send(c.fd, " tail", 5, 0));
        t.outcome("peer", c.peer.receive_up_to(16));
    });

    cases.add("sendfile_of_much", [](Case &t) {
        const auto c = t.connect();
        constexpr std::size_t kSize = 8 << 20;
        const int file = file_with_pattern(kSize, 31);
        c.peer.start_receive_pattern(kSize, 31);
        std::size_t sent = 0;
        while (sent < kSize) {
            const ssize_t n = sendfile(c.fd, file, nullptr, kSize - sent);
            if (n <= 0) break;
            sent += static_cast<std::size_t>(n);
        }
        t.value("sent", static_cast<long>(sent));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("sendfile_that_would_block", [](Case &t) {
        const auto c = t.connect();
        const int file = file_with_pattern(64 << 10, 32);
        set_nonblocking(c.fd, true);
        const std::size_t sent = fill(c.fd, 1);
        t.value("sendfile", sendfile(c.fd, file, nullptr, 1000));
        t.value("position", lseek(file, 0, SEEK_CUR));
        t.yes_no("the peer read all", c.peer.receive_pattern(sent, 1).result == static_cast<long>(sent));
    });

    cases.add("sendfile_of_nothing_and_nowhere", [](Case &t) {
        const auto c = t.connect();
        const int file = file_with("0123");
        t.value("no bytes", sendfile(c.fd, file, nullptr, 0));
        off_t negative = -1;
        t.value("negative offset", sendfile(c.fd, file, &negative, 1));
        t.value("from a closed file", sendfile(c.fd, 999, nullptr, 1));
        t.value("to a closed socket", sendfile(999, file, nullptr, 1));
        t.value("from a socket", sendfile(file, c.fd, nullptr, 1));
        t.value("bad pointer", sendfile(c.fd, file, reinterpret_cast<off_t *>(8), 1));
        t.value("unread at the peer", c.peer.unread().result);
    });

    cases.add("sendfile_after_shutdown", [](Case &t) {
        const auto c = t.connect();
        handle(SIGPIPE, 0);
        const int file = file_with("0123");
        shutdown(c.fd, SHUT_WR);
        t.value("sendfile", sendfile(c.fd, file, nullptr, 4));
        t.value("signals", handled());
    });

    cases.add("splice_from_the_connection", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        c.peer.send("through a pipe");
        t.await_unread(c.fd, 14);
        t.value("splice", splice(c.fd, nullptr, ends[1], nullptr, 64, 0));
        char buffer[32];
        t.data("pipe", read(ends[0], buffer, sizeof buffer), buffer);
        set_nonblocking(c.fd, true);
        t.value("splice of nothing", splice(c.fd, nullptr, ends[1], nullptr, 64, 0));
        set_nonblocking(c.fd, false);
        c.peer.send("on");
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("splice_to_the_connection", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        must("write", write(ends[1], "through a pipe", 14));
        t.value("splice", splice(ends[0], nullptr, c.fd, nullptr, 64, 0));
        t.outcome("peer", c.peer.receive_up_to(14));
        t.value("send", send(c.fd, "on", 2, 0));
        t.outcome("peer", c.peer.receive_up_to(2));
    });

    cases.add("splice_waits", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        std::thread sender([&] {
            let_others_block();
            c.peer.send("late");
        });
        t.value("splice", splice(c.fd, nullptr, ends[1], nullptr, 64, 0));
        sender.join();
        char buffer[8];
        t.data("pipe", read(ends[0], buffer, sizeof buffer), buffer);
    });

    cases.add("splice_at_the_end", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        c.peer.close();
        t.value("splice", splice(c.fd, nullptr, ends[1], nullptr, 64, 0));
    });

    cases.add("vmsplice_then_splice", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("pipe", pipe(ends));
        char text[] = "pages";
        const iovec part{text, 5};
        t.value("vmsplice", vmsplice(ends[1], &part, 1, 0));
        t.value("splice", splice(ends[0], nullptr, c.fd, nullptr, 5, SPLICE_F_MORE));
        t.value("send", send(c.fd, " and bytes", 10, 0));
        t.outcome("peer", c.peer.receive_up_to(15));
        t.value("vmsplice to a socket", vmsplice(c.fd, &part, 1, 0));
        t.value("tee of a socket", tee(c.fd, ends[1], 5, 0));
    });

    cases.add("copy_file_range_is_for_files", [](Case &t) {
        const auto c = t.connect();
        const int file = file_with("0123");
        t.value("to the socket", copy_file_range(file, nullptr, c.fd, nullptr, 4, 0));
        t.value("from the socket", copy_file_range(c.fd, nullptr, file, nullptr, 4, 0));
    });

    cases.add("it_cannot_be_mapped", [](Case &t) {
        const auto c = t.connect();
        t.value("mmap", mmap(nullptr, 4096, PROT_READ, MAP_SHARED, c.fd, 0) == MAP_FAILED ? -1 : 0);
    });

    cases.add("from_file_to_connection_to_file", [](Case &t) {
        const auto c = t.connect();
        const int from = file_with_pattern(100'000, 33);
        const int to = must("memfd_create", memfd_create("copy", MFD_CLOEXEC));
        int ends[2];
        must("pipe", pipe(ends));
        c.peer.start_echo(100'000);
        std::thread sender([&] {
            for (ssize_t left = 100'000; left > 0;) {
                left -= must("sendfile", sendfile(c.fd, from, nullptr, static_cast<std::size_t>(left)));
            }
        });
        for (ssize_t left = 100'000; left > 0;) {
            const ssize_t n = must("splice", splice(c.fd, nullptr, ends[1], nullptr, static_cast<std::size_t>(left), 0));
            must("splice", splice(ends[0], nullptr, to, nullptr, static_cast<std::size_t>(n), 0));
            left -= n;
        }
        sender.join();
        c.peer.finish();
        std::vector<char> bytes(100'000);
        must("pread", pread(to, bytes.data(), bytes.size(), 0));
        t.yes_no("the copy is right", Pattern(33).matches(bytes.data(), bytes.size()));
    });
    return cases;
}

}  // namespace sansock::parity
