#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <csetjmp>
#include <csignal>
#include <cstring>
#include <string>

#include "pattern.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

constexpr std::size_t kPage = 4096;

/// Two pages, the second of which may not be touched (or only read, for kReadOnly).
char *page_before_a_hole(int protection_of_second = PROT_NONE) {
    void *pages = mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) die("mmap");
    must("mprotect", mprotect(static_cast<char *>(pages) + kPage, kPage, protection_of_second));
    memset(pages, 'm', kPage);
    return static_cast<char *>(pages);
}

char *nowhere() { return page_before_a_hole() + kPage; }

void still_works(Case &t, const Connection &c) {
    t.value("send", send(c.fd, "on", 2, 0));
    t.outcome("peer", c.peer.receive_up_to(2));
}

sigjmp_buf escape;
void jump_out(int) { siglongjmp(escape, 1); }

}  // namespace

// Pointers that lead nowhere: EFAULT, and a stream that lost and gained nothing by it.
Subject faults() {
    Subject cases{"faults"};
    cases.add("receive", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("intact");
        t.await_unread(c.fd, 6);
        t.value("recv", recv(c.fd, nowhere(), 6, 0));
        t.value("read", read(c.fd, nowhere(), 6));
        t.value("recv to null", recv(c.fd, nullptr, 6, 0));
        t.value("peek", recv(c.fd, nowhere(), 6, MSG_PEEK));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("send", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, nowhere(), 6, 0));
        t.value("write", write(c.fd, nowhere(), 6));
        t.value("send of null", send(c.fd, nullptr, 6, 0));
        still_works(t, c);
    });

    cases.add("a_handler_from_before_the_first_connection", [](Case &t) {
        struct sigaction mine {
        }, now{};
        mine.sa_handler = [](int) { _exit(3); };
        sigaction(SIGSEGV, &mine, nullptr);
        const auto c = t.connect();
        t.value("send", send(c.fd, nowhere(), 6, 0));
        sigaction(SIGSEGV, nullptr, &now);
        t.yes_no("it is still the same", now.sa_handler == mine.sa_handler);
    });

    cases.add("receive_with_nothing_there", [](Case &t) {
        const auto c = t.connect();
        t.value("recv", recv(c.fd, nowhere(), 6, MSG_DONTWAIT));
        c.peer.shutdown(SHUT_WR);
        t.await(c.fd, POLLRDHUP);
        t.value("recv at the end", recv(c.fd, nowhere(), 6, 0));
    });

    cases.add("receive_into_memory_that_is_read_only", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("intact");
        t.await_unread(c.fd, 6);
        t.value("recv", recv(c.fd, page_before_a_hole(PROT_READ) + kPage, 6, 0));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("receive_across_the_edge", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("intact");
        t.await_unread(c.fd, 6);
        t.value("recv", recv(c.fd, page_before_a_hole() + kPage - 3, 6, 0));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("receive_of_less_than_reaches_the_edge", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        char *edge = page_before_a_hole() + kPage - 3;
        t.data("recv", recv(c.fd, edge, 100, 0), edge);
    });

    cases.add("send_across_the_edge", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, page_before_a_hole() + kPage - 3, 6, 0));
        still_works(t, c);
    });

    cases.add("gather_with_a_bad_second_element", [](Case &t) {
        const auto c = t.connect();
        const iovec parts[] = {{const_cast<char *>("good"), 4}, {nowhere(), 4}};
        t.value("writev", writev(c.fd, parts, 2));
        still_works(t, c);
    });

    cases.add("scatter_with_a_bad_second_element", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcdefgh");
        t.await_unread(c.fd, 8);
        char first[4];
        const iovec parts[] = {{first, 4}, {nowhere(), 4}};
        t.value("readv", readv(c.fd, parts, 2));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("scatter_that_does_not_reach_the_bad_element", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcd");
        t.await_unread(c.fd, 4);
        char first[4];
        const iovec parts[] = {{first, 4}, {nowhere(), 4}};
        t.data("readv", readv(c.fd, parts, 2), first);
    });

    cases.add("bad_vectors", [](Case &t) {
        const auto c = t.connect();
        const auto *vectors = reinterpret_cast<const iovec *>(nowhere());
        t.value("writev", writev(c.fd, vectors, 1));
        t.value("readv", readv(c.fd, vectors, 1));
        still_works(t, c);
    });

    cases.add("bad_messages", [](Case &t) {
        const auto c = t.connect();
        auto *message = reinterpret_cast<msghdr *>(nowhere());
        t.value("sendmsg", sendmsg(c.fd, message, 0));
        t.value("recvmsg", recvmsg(c.fd, message, MSG_DONTWAIT));
        msghdr outer{.msg_iov = reinterpret_cast<iovec *>(nowhere()), .msg_iovlen = 1};
        t.value("sendmsg", sendmsg(c.fd, &outer, 0));
        t.value("recvmsg", recvmsg(c.fd, &outer, MSG_DONTWAIT));
        t.value("sendmmsg", sendmmsg(c.fd, reinterpret_cast<mmsghdr *>(nowhere()), 1, 0));
        t.value("recvmmsg", recvmmsg(c.fd, reinterpret_cast<mmsghdr *>(nowhere()), 1, MSG_DONTWAIT, nullptr));
        still_works(t, c);
    });

    cases.add("bad_addresses", [](Case &t) {
        const auto c = t.connect();
        auto *name = reinterpret_cast<sockaddr *>(nowhere());
        socklen_t length = sizeof(sockaddr_in);
        t.value("sendto", sendto(c.fd, "x", 1, 0, name, length));
        t.value("getpeername", getpeername(c.fd, name, &length));
        t.value("getsockname", getsockname(c.fd, name, reinterpret_cast<socklen_t *>(nowhere())));
        still_works(t, c);
    });

    cases.add("large_receive_across_the_edge", [](Case &t) {
        const auto c = t.connect();
        t.outcome("peer", c.peer.send_pattern(3000, 1));
        t.await_unread(c.fd, 3000);
        t.value("recv", recv(c.fd, page_before_a_hole() + kPage - 100, 3000, 0));
        t.outcome("recv", receive_pattern(c.fd, 3000, 1));
    });

    cases.add("many_faults_amid_traffic", [](Case &t) {
        const auto c = t.connect();
        char *bad = nowhere();
        int right = 0;
        for (int i = 0; i < 200; ++i) {
            c.peer.start_echo(5);
            right += send(c.fd, bad, 5, 0) == -1 && errno == EFAULT;
            send_all(c.fd, "bytes", 5);
            t.await(c.fd, POLLIN);
            right += recv(c.fd, bad, 5, 0) == -1 && errno == EFAULT;
            right += receive_up_to(c.fd, 5).bytes == "bytes";
            c.peer.finish();
        }
        t.value("right answers", right);
    });

    cases.add("the_programs_own_handler_still_works", [](Case &t) {
        const auto c = t.connect();
        handle(SIGSEGV, SA_NODEFER, jump_out);
        t.value("send", send(c.fd, nowhere(), 6, 0));
        if (sigsetjmp(escape, 1) == 0) {
            *static_cast<volatile char *>(nowhere()) = 1;
            t.says("a real fault", "nothing happened");
        } else {
            t.says("a real fault", "reached the program's handler");
        }
        t.value("send", send(c.fd, nowhere(), 6, 0));
        still_works(t, c);
    });

    cases.add("a_handler_installed_before", [](Case &t) {
        handle(SIGSEGV, SA_NODEFER, jump_out);
        const auto c = t.connect();
        c.peer.send("intact");
        t.await_unread(c.fd, 6);
        if (sigsetjmp(escape, 1) != 0) {
            t.says("recv", "reached the program's handler");
            return;
        }
        t.value("recv", recv(c.fd, nowhere(), 6, 0));
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("faults_with_the_signal_blocked_or_ignored", [](Case &t) {
        const auto c = t.connect();
        sigset_t faults;
        sigemptyset(&faults);
        sigaddset(&faults, SIGSEGV);
        pthread_sigmask(SIG_BLOCK, &faults, nullptr);
        t.value("send", send(c.fd, nowhere(), 6, 0));
        pthread_sigmask(SIG_UNBLOCK, &faults, nullptr);
        signal(SIGSEGV, SIG_IGN);
        t.value("send", send(c.fd, nowhere(), 6, 0));
        still_works(t, c);
    });
    return cases;
}

}  // namespace sansock::parity
