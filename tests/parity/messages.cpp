#include <sys/uio.h>

#include <climits>
#include <cstring>
#include <string>
#include <vector>

#include "subjects.hpp"

namespace sansock::parity {

namespace {

std::string flag_names(int flags) {
    std::string text;
    if ((flags & MSG_TRUNC) != 0) text += "TRUNC ";
    if ((flags & MSG_CTRUNC) != 0) text += "CTRUNC ";
    if ((flags & MSG_OOB) != 0) text += "OOB ";
    if ((flags & MSG_EOR) != 0) text += "EOR ";
    return text.empty() ? "none" : text;
}

void describe(Case &t, const msghdr &message) {
    t.says("msg_flags", flag_names(message.msg_flags));
    t.value("msg_namelen", message.msg_namelen);
    t.value("msg_controllen", static_cast<long>(message.msg_controllen));
}

constexpr int kTcpInq = 36;  // TCP_INQ, in linux/tcp.h: a control message that says how much is still unread

}  // namespace

// sendmsg, recvmsg and their many-message forms, with all fields of msghdr.
Subject messages() {
    Subject cases{"messages"};
    cases.add("sendmsg_gathers", [](Case &t) {
        const auto c = t.connect();
        iovec parts[] = {{const_cast<char *>("ab"), 2}, {const_cast<char *>("cde"), 3}};
        const msghdr message{.msg_iov = parts, .msg_iovlen = 2};
        t.value("sendmsg", sendmsg(c.fd, &message, 0));
        t.outcome("peer", c.peer.receive_up_to(5));
    });

    cases.add("recvmsg_fills_in_the_header", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcdef");
        t.await_unread(c.fd, 6);
        char first[4], second[4], control[64];
        sockaddr_storage name{};
        iovec parts[] = {{first, 4}, {second, 4}};
        msghdr message{.msg_name = &name,
                       .msg_namelen = sizeof name,
                       .msg_iov = parts,
                       .msg_iovlen = 2,
                       .msg_control = control,
                       .msg_controllen = sizeof control,
                       .msg_flags = MSG_TRUNC | MSG_EOR};
        t.value("recvmsg", recvmsg(c.fd, &message, 0));
        t.says("parts", std::string(first, 4) + " " + std::string(second, 2));
        describe(t, message);
    });

    cases.add("recvmsg_at_the_end", [](Case &t) {
        const auto c = t.connect();
        c.peer.shutdown(SHUT_WR);
        char buffer[4], control[64];
        iovec part{buffer, 4};
        msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        t.value("recvmsg", recvmsg(c.fd, &message, 0));
        describe(t, message);
    });

    cases.add("recvmsg_that_would_block", [](Case &t) {
        const auto c = t.connect();
        char buffer[4];
        iovec part{buffer, 4};
        msghdr message{.msg_iov = &part, .msg_iovlen = 1};
        t.value("recvmsg", recvmsg(c.fd, &message, MSG_DONTWAIT));
    });

    cases.add("recvmsg_without_vectors", [](Case &t) {
        const auto c = t.connect();
        msghdr message{};
        t.value("with nothing unread", recvmsg(c.fd, &message, MSG_DONTWAIT));
        c.peer.send("abc");
        t.await_unread(c.fd, 3);
        t.value("with bytes unread", recvmsg(c.fd, &message, MSG_DONTWAIT));
        t.await_unread(c.fd, 3);
    });

    cases.add("sendmsg_without_vectors", [](Case &t) {
        const auto c = t.connect();
        const msghdr message{};
        t.value("sendmsg", sendmsg(c.fd, &message, 0));
        t.value("unread at the peer", c.peer.unread().result);
    });

    cases.add("too_many_vectors", [](Case &t) {
        const auto c = t.connect();
        char byte = 'x';
        std::vector<iovec> many(IOV_MAX + 1, iovec{&byte, 1});
        msghdr message{.msg_iov = many.data(), .msg_iovlen = many.size()};
        t.value("sendmsg", sendmsg(c.fd, &message, 0));
        t.value("recvmsg", recvmsg(c.fd, &message, MSG_DONTWAIT));
    });

    cases.add("unknown_control_message", [](Case &t) {
        const auto c = t.connect();
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        auto *header = reinterpret_cast<cmsghdr *>(control);
        *header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = 12345};
        iovec part{const_cast<char *>("abc"), 3};
        const msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        t.value("sendmsg", sendmsg(c.fd, &message, 0));
        t.value("unread at the peer", c.peer.unread().result);
    });

    cases.add("foreign_control_message", [](Case &t) {
        const auto c = t.connect();
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        auto *header = reinterpret_cast<cmsghdr *>(control);
        *header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = IPPROTO_UDP, .cmsg_type = 1};
        iovec part{const_cast<char *>("abc"), 3};
        const msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        t.value("sendmsg", sendmsg(c.fd, &message, 0));
        t.outcome("peer", c.peer.recv(8));
    });

    cases.add("descriptors_do_not_travel_over_tcp", [](Case &t) {
        const auto c = t.connect();
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        auto *header = reinterpret_cast<cmsghdr *>(control);
        *header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        iovec part{const_cast<char *>("abc"), 3};
        const msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        t.value("sendmsg", sendmsg(c.fd, &message, 0));
        t.outcome("peer", c.peer.recv(8));
    });

    cases.add("unread_bytes_as_a_control_message", [](Case &t) {
        const auto c = t.connect();
        const int on = 1;
        t.value("TCP_INQ", setsockopt(c.fd, IPPROTO_TCP, kTcpInq, &on, sizeof on));
        c.peer.send("abcdefgh");
        t.await_unread(c.fd, 8);
        char buffer[3];
        alignas(cmsghdr) char control[64] = {};
        iovec part{buffer, 3};
        msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        t.data("recvmsg", recvmsg(c.fd, &message, 0), buffer);
        describe(t, message);
        const cmsghdr *header = CMSG_FIRSTHDR(&message);
        t.value("TCP_INQ says", header != nullptr ? *reinterpret_cast<const int *>(CMSG_DATA(header)) : -1);
    });

    cases.add("control_message_that_does_not_fit", [](Case &t) {
        const auto c = t.connect();
        const int on = 1;
        t.value("TCP_INQ", setsockopt(c.fd, IPPROTO_TCP, kTcpInq, &on, sizeof on));
        c.peer.send("abcdefgh");
        t.await_unread(c.fd, 8);
        char buffer[3], control[4];
        iovec part{buffer, 3};
        msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        t.data("recvmsg", recvmsg(c.fd, &message, 0), buffer);
        describe(t, message);
    });

    cases.add("time_stamps_as_control_messages", [](Case &t) {
        const auto c = t.connect();
        const int on = 1;
        t.value("SO_TIMESTAMP", setsockopt(c.fd, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on));
        char buffer[8];
        alignas(cmsghdr) char control[64] = {};
        iovec part{buffer, 8};
        msghdr message{};
        ssize_t got = -1;
        t.await("a stamp", [&] {  // the kernel begins to stamp a moment after the first socket asks for it
            c.peer.send("abc");
            t.await_unread(c.fd, 3);
            message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
            got = recvmsg(c.fd, &message, 0);
            return message.msg_controllen != 0;
        });
        t.data("recvmsg", got, buffer);
        describe(t, message);
    });

    cases.add("sendmmsg_sends_all", [](Case &t) {
        const auto c = t.connect();
        iovec parts[] = {{const_cast<char *>("one"), 3}, {const_cast<char *>("three"), 5}};
        mmsghdr many[2] = {};
        for (int i = 0; i < 2; ++i) many[i].msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1};
        t.value("sendmmsg", sendmmsg(c.fd, many, 2, 0));
        t.value("first", many[0].msg_len);
        t.value("second", many[1].msg_len);
        t.outcome("peer", c.peer.receive_up_to(8));
        t.value("sendmmsg of none", sendmmsg(c.fd, many, 0, 0));
    });

    cases.add("recvmmsg_fills_several", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcdefgh");
        t.await_unread(c.fd, 8);
        char buffers[3][3];
        iovec parts[3];
        mmsghdr many[3] = {};
        for (int i = 0; i < 3; ++i) {
            parts[i] = {buffers[i], 3};
            many[i].msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1};
        }
        t.value("recvmmsg", recvmmsg(c.fd, many, 3, 0, nullptr));
        for (int i = 0; i < 3; ++i) t.data("message", many[i].msg_len, buffers[i]);
    });

    cases.add("recvmmsg_waits_for_one", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcd");
        t.await_unread(c.fd, 4);
        char buffers[3][3];
        iovec parts[3];
        mmsghdr many[3] = {};
        for (int i = 0; i < 3; ++i) {
            parts[i] = {buffers[i], 3};
            many[i].msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1};
        }
        t.value("recvmmsg", recvmmsg(c.fd, many, 3, MSG_WAITFORONE, nullptr));
        t.value("second", many[1].msg_len);
        t.value("recvmmsg of nothing", recvmmsg(c.fd, many, 3, MSG_DONTWAIT, nullptr));
    });

    cases.add("recvmmsg_at_the_end", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("ab");
        c.peer.close();
        t.await(c.fd, POLLRDHUP);
        char buffer[8];
        iovec part{buffer, 8};
        mmsghdr many[1] = {};
        many[0].msg_hdr = {.msg_iov = &part, .msg_iovlen = 1};
        t.value("recvmmsg", recvmmsg(c.fd, many, 1, 0, nullptr));
        t.data("message", many[0].msg_len, buffer);
        t.value("recvmmsg", recvmmsg(c.fd, many, 1, 0, nullptr));
        t.value("length", many[0].msg_len);
    });
    return cases;
}

}  // namespace sansock::parity
