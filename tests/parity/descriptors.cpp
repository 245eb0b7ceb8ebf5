#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

/// The number that the next descriptor must get.
int lowest_free() {
    int fd = 0;
    while (fcntl(fd, F_GETFD) >= 0) ++fd;
    return fd;
}

void echo(Case &t, int fd, const Remote &peer, const char *text) {
    t.value("send", send(fd, text, strlen(text), 0));
    t.outcome("peer", peer.recv(16));
    peer.send(text);
    char buffer[16];
    t.data("recv", recv(fd, buffer, sizeof buffer, 0), buffer);
}

bool is_free(int fd) { return fcntl(fd, F_GETFD) < 0; }

/// Eventfds that are open, none of which a case has made itself.
std::vector<int> doorbells() {
    std::vector<int> numbers;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;  // as the listing itself, later
        if (std::filesystem::read_symlink(entry.path(), gone) == "anon_inode:[eventfd]") {
            numbers.push_back(std::stoi(entry.path().filename()));
        }
    }
    return numbers;
}

int temporary_file() { return must("memfd_create", memfd_create("parity", MFD_CLOEXEC)); }

}  // namespace

// What dup, close and their relatives do to a connection.
Subject descriptors() {
    Subject cases{"descriptors"};
    cases.add("dup", [](Case &t) {
        const auto c = t.connect();
        const int expected = lowest_free();
        const int copy = dup(c.fd);
        t.yes_no("lowest free number", copy == expected);
        echo(t, copy, c.peer, "copy");
        echo(t, c.fd, c.peer, "original");
        t.value("close the original", close(c.fd));
        echo(t, copy, c.peer, "copy alone");
        t.value("close the copy", close(copy));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("dup_before_any_byte", [](Case &t) {
        const auto c = t.connect_cold();
        const int copy = dup(c.fd);
        t.warm(c);
        echo(t, copy, c.peer, "copy");
        t.value("close the original", close(c.fd));
        echo(t, copy, c.peer, "copy alone");
    });

    cases.add("dup2_to_a_free_number", [](Case &t) {
        const auto c = t.connect();
        t.value("dup2", dup2(c.fd, 77));
        echo(t, 77, c.peer, "seventy-seven");
        close(c.fd);
        echo(t, 77, c.peer, "alone");
        t.value("F_GETFD", fcntl(77, F_GETFD));
    });

    cases.add("dup2_to_itself", [](Case &t) {
        const auto c = t.connect();
        t.yes_no("the same number", dup2(c.fd, c.fd) == c.fd);
        echo(t, c.fd, c.peer, "on");
        t.value("dup3 to itself", dup3(c.fd, c.fd, 0));
    });

    cases.add("dup2_over_a_connection", [](Case &t) {
        const auto one = t.connect(), two = t.connect();
        t.yes_no("dup2", dup2(one.fd, two.fd) == two.fd);
        t.outcome("peer of the replaced", two.peer.receive_to_end());
        echo(t, two.fd, one.peer, "one");
    });

    cases.add("dup2_of_a_file_over_a_connection", [](Case &t) {
        const auto c = t.connect();
        const int file = temporary_file();
        t.yes_no("dup2", dup2(file, c.fd) == c.fd);
        t.outcome("peer", c.peer.receive_to_end());
        t.value("write to the file", write(c.fd, "file", 4));
        char buffer[8];
        t.data("pread from the file", pread(file, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("dup2_over_a_file", [](Case &t) {
        const auto c = t.connect();
        const int file = temporary_file();
        t.yes_no("dup2", dup2(c.fd, file) == file);
        echo(t, file, c.peer, "socket");
    });

    cases.add("dup2_of_nothing_keeps_the_target", [](Case &t) {
        const auto c = t.connect();
        t.value("dup2", dup2(999, c.fd));
        echo(t, c.fd, c.peer, "on");
        t.value("dup2 to -1", dup2(c.fd, -1));
        t.value("dup", dup(999));
    });

    cases.add("dup3_and_close_on_exec", [](Case &t) {
        const auto c = t.connect();
        t.value("dup3", dup3(c.fd, 78, O_CLOEXEC));
        t.value("F_GETFD", fcntl(78, F_GETFD));
        t.value("dup3 plain", dup3(c.fd, 79, 0));
        t.value("F_GETFD", fcntl(79, F_GETFD));
        t.value("dup3 with unknown flags", dup3(c.fd, 80, 1));
        echo(t, 78, c.peer, "dup3");
    });

    cases.add("dup_by_fcntl", [](Case &t) {
        const auto c = t.connect();
        t.value("F_DUPFD", fcntl(c.fd, F_DUPFD, 150));
        t.value("F_DUPFD", fcntl(c.fd, F_DUPFD, 150));
        t.value("F_DUPFD_CLOEXEC", fcntl(c.fd, F_DUPFD_CLOEXEC, 150));
        t.value("F_GETFD", fcntl(152, F_GETFD));
        t.value("F_DUPFD out of range", fcntl(c.fd, F_DUPFD, -1));
        close(c.fd);
        close(150);
        close(151);
        echo(t, 152, c.peer, "the last");
        close(152);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("nonblocking_is_shared_by_copies", [](Case &t) {
        const auto c = t.connect();
        const int copy = dup(c.fd);
        set_nonblocking(copy, true);
        char byte;
        t.value("recv", recv(c.fd, &byte, 1, 0));
        set_nonblocking(c.fd, false);
        t.yes_no("O_NONBLOCK of the copy", (fcntl(copy, F_GETFL) & O_NONBLOCK) != 0);
    });

    cases.add("the_stream_is_shared_by_copies", [](Case &t) {
        const auto c = t.connect();
        const int copy = dup(c.fd);
        c.peer.send("abcdef");
        t.await_unread(copy, 6);
        char buffer[8];
        t.data("recv from one", recv(c.fd, buffer, 2, 0), buffer);
        t.data("recv from the other", recv(copy, buffer, 2, 0), buffer);
        t.data("recv from one", recv(c.fd, buffer, 2, 0), buffer);
        t.value("shutdown of the copy", shutdown(copy, SHUT_WR));
        t.value("send", send(c.fd, "x", 1, MSG_NOSIGNAL));
    });

    cases.add("closing_a_copy_with_unread_bytes_is_no_reset", [](Case &t) {
        const auto c = t.connect();
        const int copy = dup(c.fd);
        c.peer.send("unread");
        t.await_unread(copy, 6);
        t.value("close", close(copy));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        echo(t, c.fd, c.peer, "on");
    });

    cases.add("close_range_closes", [](Case &t) {
        const auto one = t.connect(), two = t.connect();
        t.value("dup2", dup2(one.fd, 200));
        t.value("dup2", dup2(two.fd, 202));
        close(one.fd);
        close(two.fd);
        t.value("close_range", close_range(200, 202, 0));
        t.outcome("peer of one", one.peer.receive_to_end());
        t.outcome("peer of two", two.peer.receive_to_end());
        t.value("send", send(200, "x", 1, 0));
    });

    cases.add("numbers_of_the_library", [](Case &t) {
        constexpr int kLimit = 8192, kFirst = kLimit / 2;  // none of ours is in the upper half
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = kLimit;
        t.value("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
        const auto one = t.connect(), two = t.connect();
        int closed = 0;
        for (int fd = kFirst; fd < kLimit; ++fd) closed += close(fd) == 0;
        t.value("closed", closed);
        for (int fd = kFirst; fd < kLimit; ++fd) closed += syscall(SYS_close, fd) == 0;
        t.value("closed by number", closed);
        echo(t, one.fd, one.peer, "one");
        echo(t, two.fd, two.peer, "two");
    });

    cases.add("numbers_that_the_library_has_given_back", [](Case &t) {
        const auto one = t.connect(), two = t.connect();
        const std::vector<int> numbers = doorbells();
        const auto all_open = [&] { return std::ranges::none_of(numbers, is_free); };
        close(one.fd);
        if (t.options().peer == Peer::Kind::kProcess) t.peer().kill();
        close(two.fd);
        // Without the library there are none.
        if (t.options().peer == Peer::Kind::kProcess && !numbers.empty()) t.await("a number", [&] { return !all_open(); });
        const int counter = must("eventfd", eventfd(0, EFD_CLOEXEC));
        int kept = 0;
        for (const int number : numbers) {
            if (!is_free(number)) continue;
            if (must("F_DUPFD", fcntl(counter, F_DUPFD, number)) != number) continue;
            kept += dup2(counter, number) != number;
            kept += close_range(static_cast<unsigned>(number), static_cast<unsigned>(number), 0) != 0 || !is_free(number);
            kept += dup3(counter, number, O_CLOEXEC) != number;
            kept += close(number) != 0;
        }
        t.value("kept from us", kept);
    });

    cases.add("close_range_marks", [](Case &t) {
        const auto c = t.connect();
        t.value("dup2", dup2(c.fd, 201));
        t.value("close_range", close_range(200, 210, CLOSE_RANGE_CLOEXEC));
        t.value("F_GETFD", fcntl(201, F_GETFD));
        echo(t, 201, c.peer, "still open");
        t.value("close_range backwards", close_range(210, 200, 0));
        t.value("close_range with unknown flags", close_range(200, 210, 64));
    });

    cases.add("closefrom_closes", [](Case &t) {
        const auto c = t.connect();
        t.value("dup2", dup2(c.fd, 900));
        close(c.fd);
        closefrom(900);
        t.outcome("peer", c.peer.receive_to_end());
        t.value("send", send(900, "x", 1, 0));
    });

    cases.add("closefrom_leaves_later_connections_alone", [](Case &t) {
        const auto before = t.connect();
        echo(t, before.fd, before.peer, "before");
        closefrom(900);
        echo(t, before.fd, before.peer, "after");
        close_range(901, 1 << 19, 0);
        const auto c = t.connect();
        echo(t, c.fd, c.peer, "another");
        t.value("shutdown", shutdown(c.fd, SHUT_WR));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("a_number_used_again_by_a_file", [](Case &t) {
        const auto c = t.connect();
        close(c.fd);
        const int file = temporary_file();
        t.yes_no("the same number", file == c.fd);
        t.value("write", write(file, "contents", 8));
        t.value("lseek", lseek(file, 0, SEEK_SET));
        char buffer[8];
        t.data("read", read(file, buffer, sizeof buffer), buffer);
        t.value("recv", recv(file, buffer, sizeof buffer, 0));
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("a_number_used_again_by_a_connection", [](Case &t) {
        const auto old = t.connect();
        close(old.fd);
        const auto c = t.connect();
        t.outcome("old peer", old.peer.receive_to_end());
        echo(t, c.fd, c.peer, "new");
    });

    cases.add("numbers_are_the_lowest_free", [](Case &t) {
        t.connect();
        const int first = lowest_free();
        const int file = temporary_file();
        t.yes_no("first", file == first);
        const int second = lowest_free();
        int ends[2];
        t.value("pipe", pipe(ends));
        t.yes_no("second", ends[0] == second);
        close(file);
        const auto other = t.connect_cold();
        t.yes_no("the gap is filled", t.options().peer == Peer::Kind::kThread || other.fd == first);
    });

    cases.add("no_number_left", [](Case &t) {
        const auto c = t.connect();
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        const rlim_t before = limit.rlim_cur;
        limit.rlim_cur = static_cast<rlim_t>(lowest_free());
        t.value("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
        t.value("dup", dup(c.fd));
        t.value("socket", socket(AF_INET, SOCK_STREAM, 0));
        t.value("F_DUPFD beyond the limit", fcntl(c.fd, F_DUPFD, 100'000));
        t.value("dup2 beyond the limit", dup2(c.fd, 100'000));
        echo(t, c.fd, c.peer, "on");
        limit.rlim_cur = before;
        must("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
    });

    cases.add("many_copies", [](Case &t) {
        const auto c = t.connect();
        for (int i = 0; i < 100; ++i) must("dup2", dup2(c.fd, 120 + i));
        close(c.fd);
        for (int i = 0; i < 99; ++i) close(120 + i);
        echo(t, 219, c.peer, "the last copy");
        close(219);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("close_one_of_many", [](Case &t) {
        const Connection all[] = {t.connect(), t.connect(), t.connect()};
        close(all[1].fd);
        t.outcome("peer of the closed", all[1].peer.receive_to_end());
        echo(t, all[0].fd, all[0].peer, "first");
        echo(t, all[2].fd, all[2].peer, "third");
    });

    cases.add("taken_from_our_own_process", [](Case &t) {
        const auto c = t.connect();
        const auto self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
        const auto copy = static_cast<int>(syscall(SYS_pidfd_getfd, self, c.fd, 0));
        t.yes_no("pidfd_getfd", copy >= 0);
        echo(t, copy, c.peer, "copy");
        echo(t, c.fd, c.peer, "original");
    });
    return cases;
}

}  // namespace sansock::parity
