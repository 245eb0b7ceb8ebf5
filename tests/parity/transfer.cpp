#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "pattern.hpp"
#include "subjects.hpp"

namespace sansock::parity {

// Plain reads and writes: how much moves, and when a call says that nothing can.
Subject transfer() {
    Subject cases{"transfer"};
    cases.add("send_and_recv", [](Case &t) {
        const auto c = t.connect();
        char buffer[16];
        t.value("send", send(c.fd, "hello", 5, 0));
        t.outcome("peer", c.peer.recv(16));
        c.peer.send("world!");
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("read_and_write", [](Case &t) {
        const auto c = t.connect();
        char buffer[16];
        t.value("write", write(c.fd, "hello", 5));
        t.outcome("peer", c.peer.recv(16));
        c.peer.send("world!");
        t.data("read", read(c.fd, buffer, sizeof buffer), buffer);
    });

    cases.add("short_read_leaves_the_rest", [](Case &t) {
        const auto c = t.connect();
        char buffer[16];
        c.peer.send("0123456789");
        t.await_unread(c.fd, 10);
        t.data("read 4", read(c.fd, buffer, 4), buffer);
        t.data("read 4", read(c.fd, buffer, 4), buffer);
        t.data("read 4", read(c.fd, buffer, 4), buffer);
    });

    cases.add("sends_join_into_one_read", [](Case &t) {
        const auto c = t.connect();
        char buffer[64];
        for (const char *part : {"one ", "two ", "three"}) c.peer.send(part);
        t.await_unread(c.fd, 13);
        t.data("read", read(c.fd, buffer, sizeof buffer), buffer);
    });

    cases.add("sends_join_at_the_peer", [](Case &t) {
        const auto c = t.connect();
        for (const char *part : {"one ", "two ", "three"}) t.value("send", send(c.fd, part, strlen(part), 0));
        t.await("13 bytes at the peer", [&] { return c.peer.unread().result == 13; });
        t.outcome("peer", c.peer.recv(64));
    });

    cases.add("empty_queue_would_block", [](Case &t) {
        const auto c = t.connect();
        set_nonblocking(c.fd, true);
        char buffer[4];
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
        t.value("read", read(c.fd, buffer, sizeof buffer));
        c.peer.send("ab");
        t.await(c.fd, POLLIN);
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
        t.value("recv", recv(c.fd, buffer, sizeof buffer, 0));
    });

    cases.add("empty_send_sends_nothing", [](Case &t) {
        const auto c = t.connect();
        t.value("send", send(c.fd, "", 0, 0));
        t.value("write", write(c.fd, "", 0));
        t.value("send of no buffer", send(c.fd, nullptr, 0, 0));
        t.value("unread at the peer", c.peer.unread().result);
    });

    cases.add("empty_read_of_an_empty_queue", [](Case &t) {
        const auto c = t.connect();
        char buffer[1];
        t.value("read", read(c.fd, buffer, 0));
        t.value("recv DONTWAIT", recv(c.fd, buffer, 0, MSG_DONTWAIT));
    });

    cases.add("empty_read_of_a_full_queue", [](Case &t) {
        const auto c = t.connect();
        char buffer[8];
        c.peer.send("data");
        t.await_unread(c.fd, 4);
        t.value("read", read(c.fd, buffer, 0));
        t.value("recv", recv(c.fd, buffer, 0, 0));
        t.data("recv", recv(c.fd, buffer, sizeof buffer, 0), buffer);
    });

    cases.add("full_queue_would_block", [](Case &t) {
        const auto c = t.connect();
        const std::size_t sent = fill(c.fd, 7);
        t.yes_no("something was sent", sent > 0);
        t.value("send", send(c.fd, "x", 1, MSG_DONTWAIT));
        t.yes_no("the peer read all of it", c.peer.receive_pattern(sent, 7).result == static_cast<long>(sent));
        t.await(c.fd, POLLOUT);
        t.value("send", send(c.fd, "x", 1, MSG_DONTWAIT));
        t.outcome("peer", c.peer.recv(8));
    });

    cases.add("large_nonblocking_send_is_partial", [](Case &t) {
        const auto c = t.connect();
        std::vector<char> bytes(64 << 20);
        Pattern(11).fill(bytes.data(), bytes.size());
        const ssize_t sent = send(c.fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
        t.yes_no("a part was sent", sent > 0 && sent < static_cast<ssize_t>(bytes.size()));
        t.value("bytes that the peer lacks", sent - c.peer.receive_pattern(static_cast<std::size_t>(sent), 11).result);
    });

    cases.add("large_blocking_send_is_whole", [](Case &t) {
        const auto c = t.connect();
        std::vector<char> bytes(24 << 20);
        Pattern(12).fill(bytes.data(), bytes.size());
        c.peer.start_receive_pattern(bytes.size(), 12);
        t.value("send", send(c.fd, bytes.data(), bytes.size(), 0));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("recv_brings_what_is_there", [](Case &t) {
        const auto c = t.connect();
        std::vector<char> buffer(1 << 20);
        c.peer.send("little");
        t.data("recv of a mebibyte", recv(c.fd, buffer.data(), buffer.size(), 0), buffer.data());
    });

    cases.add("byte_at_a_time", [](Case &t) {
        const auto c = t.connect();
        constexpr int kCount = 3000;
        c.peer.start_receive_pattern(kCount, 3);
        Pattern out(3);
        int sent = 0;
        for (char byte; sent < kCount; ++sent) {
            out.fill(&byte, 1);
            if (send(c.fd, &byte, 1, 0) != 1) break;
        }
        t.value("sent", sent);
        t.outcome("peer", c.peer.finish());
        c.peer.start_send_pattern(kCount, 4);
        Pattern in(4);
        int received = 0;
        for (char byte; received < kCount && recv(c.fd, &byte, 1, 0) == 1 && in.matches(&byte, 1);) ++received;
        t.value("received", received);
        t.outcome("peer", c.peer.finish());
    });

    cases.add("sendto_and_recvfrom", [](Case &t) {
        const auto c = t.connect();
        char buffer[8];
        t.value("sendto", sendto(c.fd, "abc", 3, MSG_NOSIGNAL, nullptr, 0));
        t.outcome("peer", c.peer.recv(8));
        c.peer.send("def");
        Address from;
        t.data("recvfrom", recvfrom(c.fd, buffer, sizeof buffer, 0, from.get(), &from.length), buffer);
        t.value("length of the address", from.length);
    });

    cases.add("sendto_ignores_an_address", [](Case &t) {
        const auto c = t.connect();
        const Address elsewhere = Address::loopback(AF_INET, 9);
        t.value("sendto", sendto(c.fd, "abc", 3, 0, elsewhere.get(), elsewhere.length));
        t.outcome("peer", c.peer.recv(8));
    });

    cases.add("a_stream_has_no_positions", [](Case &t) {
        const auto c = t.connect();
        char buffer[4];
        t.value("lseek", lseek(c.fd, 0, SEEK_CUR));
        t.value("pread", pread(c.fd, buffer, sizeof buffer, 0));
        t.value("pwrite", pwrite(c.fd, "abcd", 4, 0));
        t.value("ftruncate", ftruncate(c.fd, 0));
        t.value("fsync", fsync(c.fd));
        t.value("fdatasync", fdatasync(c.fd));
        t.value("posix_fadvise", posix_fadvise(c.fd, 0, 0, POSIX_FADV_NORMAL));
        t.value("posix_fallocate", posix_fallocate(c.fd, 0, 1));
        t.value("readahead", readahead(c.fd, 0, 1));
        c.peer.send("still");
        t.data("recv", recv(c.fd, buffer, sizeof buffer, MSG_WAITALL), buffer);
    });

    cases.add("it_is_a_socket", [](Case &t) {
        const auto c = t.connect();
        struct stat status {};
        t.value("fstat", fstat(c.fd, &status));
        t.yes_no("socket", S_ISSOCK(status.st_mode));
        t.value("size", status.st_size);
        t.value("isatty", isatty(c.fd));
        char target[64] = {};
        t.yes_no("link in /proc", readlink(("/proc/self/fd/" + std::to_string(c.fd)).c_str(), target, 63) > 8);
        t.says("it begins", std::string(target).substr(0, 8));
        t.value("open of it", open(("/proc/self/fd/" + std::to_string(c.fd)).c_str(), O_RDWR));
    });

    cases.add("requests_and_replies", [](Case &t) {
        const auto c = t.connect();
        int right = 0;
        for (int i = 0; i < 500; ++i) {
            const std::string request = "request " + std::to_string(i);
            c.peer.start_echo(request.size());
            send_all(c.fd, request.data(), request.size());
            right += receive_up_to(c.fd, request.size()).bytes == request;
            c.peer.finish();
        }
        t.value("right replies", right);
    });

    cases.add("pipelined_requests", [](Case &t) {
        const auto c = t.connect();
        std::string requests;
        for (int i = 0; i < 1000; ++i) requests += "GET key:" + std::to_string(i) + "\r\n";
        c.peer.start_echo(requests.size());
        send_all(c.fd, requests.data(), requests.size());
        t.yes_no("all came back", receive_up_to(c.fd, requests.size()).bytes == requests);
        c.peer.finish();
    });

    cases.add("negative_length_is_too_much", [](Case &t) {
        const auto c = t.connect();
        char buffer[4];
        volatile std::size_t huge = static_cast<std::size_t>(-1);
        t.value("read", read(c.fd, buffer, huge));
        c.peer.send("ab");
        t.data("recv", recv(c.fd, buffer, 2, 0), buffer);
    });

    cases.add("several_connections_do_not_mix", [](Case &t) {
        const Connection all[] = {t.connect(), t.connect(), t.connect(), t.connect()};
        char name = 'a';
        for (const auto &c : all) c.peer.send(std::string(3, name++));
        for (const auto &c : all) {
            char buffer[8];
            t.data("recv", recv(c.fd, buffer, 3, MSG_WAITALL), buffer);
            t.value("send", send(c.fd, buffer, 3, 0));
        }
        for (const auto &c : all) t.outcome("peer", c.peer.recv(8));
    });
    return cases;
}

}  // namespace sansock::parity
