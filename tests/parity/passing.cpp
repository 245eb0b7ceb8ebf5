#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstring>
#include <string>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

void pass(int channel, int fd) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    char byte = 'f';
    iovec part{&byte, 1};
    msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    must("pass", sendmsg(channel, &message, 0));
}

int take(int channel) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    char byte;
    iovec part{&byte, 1};
    msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    must("take", recvmsg(channel, &message, MSG_CMSG_CLOEXEC));
    int fd = -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/// A fresh process of this program that echoes what the connection passed to it brings.
struct Receiver {
    int channel;
    int process;
};

Receiver start_receiver() {
    int ends[2];
    must("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
    const int child = must("fork", fork());
    if (child == 0) {
        fcntl(ends[1], F_SETFD, 0);
        const std::string number = std::to_string(ends[1]);
        execl("/proc/self/exe", "parity", "--receiver", number.c_str(), nullptr);
        _exit(127);
    }
    close(ends[1]);
    return {ends[0], child};
}

void wait_for(Case &t, const Receiver &receiver) {
    int status = -1;
    must("waitpid", waitpid(receiver.process, &status, 0));
    t.value("the receiver's status", status);
}

void echo(Case &t, int fd, const Remote &peer, const char *text) {
    t.value("send", send(fd, text, strlen(text), 0));
    t.outcome("peer", peer.recv(16));
    peer.send(text);
    char buffer[16];
    t.data("recv", recv(fd, buffer, sizeof buffer, 0), buffer);
}

void peer_echo(Case &t, const Remote &peer, const char *text) {
    peer.send(text);
    t.outcome("peer", peer.receive_up_to(strlen(text)));
}

}  // namespace

int echo_until_end(int fd) {
    char buffer[4096];
    for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;) send_all(fd, buffer, static_cast<std::size_t>(n));
    return 0;
}

int receive_passed(int channel) { return echo_until_end(take(channel)); }

// Descriptors that travel over a Unix socket.
Subject passing() {
    Subject cases{.name = "passing", .needs_process = true};
    cases.add("to_another_process", [](Case &t) {
        const auto c = t.connect();
        const Receiver receiver = start_receiver();
        pass(receiver.channel, c.fd);
        close(c.fd);
        peer_echo(t, c.peer, "passed");
        peer_echo(t, c.peer, "again");
        c.peer.shutdown(SHUT_WR);
        t.outcome("peer", c.peer.receive_to_end());
        wait_for(t, receiver);
    });

    cases.add("before_any_byte", [](Case &t) {
        const auto c = t.connect_cold();
        const Receiver receiver = start_receiver();
        pass(receiver.channel, c.fd);
        close(c.fd);
        for (int i = 0; i < 20; ++i) peer_echo(t, c.peer, "passed");
        c.peer.close();
        wait_for(t, receiver);
    });

    cases.add("with_unread_bytes", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("read, unread");
        t.await_unread(c.fd, 12);
        char buffer[8];
        t.data("recv", recv(c.fd, buffer, 6, 0), buffer);
        const Receiver receiver = start_receiver();
        pass(receiver.channel, c.fd);
        close(c.fd);
        t.outcome("peer", c.peer.receive_up_to(6));
        peer_echo(t, c.peer, "on");
        c.peer.close();
        wait_for(t, receiver);
    });

    cases.add("behind_bytes_that_the_peer_has_not_read", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "before ", 7, 0));
        const Receiver receiver = start_receiver();
        pass(receiver.channel, c.fd);
        close(c.fd);
        c.peer.send("behind");
        t.outcome("peer", c.peer.receive_up_to(13));
        c.peer.close();
        wait_for(t, receiver);
    });

    cases.add("and_kept", [](Case &t) {
        const auto c = t.connect();
        const Receiver receiver = start_receiver();
        pass(receiver.channel, c.fd);
        peer_echo(t, c.peer, "by the receiver");
        t.value("send", send(c.fd, "by us", 5, 0));
        t.outcome("peer", c.peer.receive_up_to(5));
        c.peer.shutdown(SHUT_WR);
        wait_for(t, receiver);
        t.value("send", send(c.fd, "the last", 8, 0));
        close(c.fd);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("to_ourselves", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        pass(ends[0], c.fd);
        const int taken = take(ends[1]);
        t.yes_no("another number", taken != c.fd);
        echo(t, taken, c.peer, "taken");
        echo(t, c.fd, c.peer, "original");
        close(c.fd);
        echo(t, taken, c.peer, "taken alone");
        close(taken);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("and_never_taken", [](Case &t) {
        const auto c = t.connect();
        int ends[2];
        must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        pass(ends[0], c.fd);
        close(c.fd);
        t.outcome("peer", c.peer.poll(POLLIN | POLLRDHUP, 30));
        close(ends[1]);
        t.outcome("peer", c.peer.receive_to_end());
    });

    cases.add("other_descriptors_pass_too", [](Case &t) {
        const auto c = t.connect();
        int ends[2], pipe_ends[2];
        must("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        must("pipe", pipe(pipe_ends));
        pass(ends[0], pipe_ends[1]);
        const int taken = take(ends[1]);
        t.value("write", write(taken, "x", 1));
        char byte;
        t.data("read", read(pipe_ends[0], &byte, 1), &byte);
        echo(t, c.fd, c.peer, "undisturbed");
    });

    cases.add("taken_by_another_process", [](Case &t) {
        const auto c = t.connect();
        const int parent = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
        const int child = must("fork", fork());
        if (child == 0) {
            close(c.fd);
            const int taken = static_cast<int>(syscall(SYS_pidfd_getfd, parent, c.fd, 0));
            t.yes_no("taken", taken >= 0);
            if (taken >= 0) echo(t, taken, c.peer, "by the child");
            _exit(0);
        }
        int status = -1;
        must("waitpid", waitpid(child, &status, 0));
        t.value("status", status);
        echo(t, c.fd, c.peer, "by the parent");
    });
    return cases;
}

}  // namespace sansock::parity
