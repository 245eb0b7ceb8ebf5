#include <sys/uio.h>

#include <array>
#include <climits>
#include <cstring>
#include <string>
#include <vector>

#include "pattern.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {
iovec slice(const char *text) { return {const_cast<char *>(text), strlen(text)}; }
}  // namespace

// readv, writev and what counts as a vector.
Subject vectors() {
    Subject cases{"vectors"};
    cases.add("writev_gathers", [](Case &t) {
        const auto c = t.connect();
        const iovec parts[] = {slice("one,"), slice("two,"), slice("three")};
        t.value("writev", writev(c.fd, parts, 3));
        t.outcome("peer", c.peer.receive_up_to(13));
    });

    cases.add("readv_scatters", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcdefgh");
        t.await_unread(c.fd, 8);
        char first[3], second[2], third[8];
        const iovec parts[] = {{first, 3}, {second, 2}, {third, 8}};
        t.value("readv", readv(c.fd, parts, 3));
        t.says("parts", std::string(first, 3) + " " + std::string(second, 2) + " " + std::string(third, 3));
    });

    cases.add("readv_of_less_fills_the_first", [](Case &t) {
        const auto c = t.connect();
        c.peer.send("abcd");
        t.await_unread(c.fd, 4);
        char first[3], second[3] = {'-', '-', '-'};
        const iovec parts[] = {{first, 3}, {second, 3}};
        t.value("readv", readv(c.fd, parts, 2));
        t.says("parts", std::string(first, 3) + " " + std::string(second, 3));
    });

    cases.add("empty_elements_are_skipped", [](Case &t) {
        const auto c = t.connect();
        const iovec parts[] = {slice(""), slice("ab"), {nullptr, 0}, slice("cd"), slice("")};
        t.value("writev", writev(c.fd, parts, 5));
        t.outcome("peer", c.peer.receive_up_to(4));
        c.peer.send("xyz");
        t.await_unread(c.fd, 3);
        char first[2], second[2];
        const iovec into[] = {{nullptr, 0}, {first, 2}, {nullptr, 0}, {second, 2}};
        t.value("readv", readv(c.fd, into, 4));
        t.says("parts", std::string(first, 2) + " " + std::string(second, 1));
    });

    cases.add("no_elements", [](Case &t) {
        const auto c = t.connect();
        t.value("writev", writev(c.fd, nullptr, 0));
        t.value("readv", readv(c.fd, nullptr, 0));
        const iovec nothing[] = {{nullptr, 0}, {nullptr, 0}};
        t.value("writev of nothing", writev(c.fd, nothing, 2));
        t.value("readv of nothing", readv(c.fd, nothing, 2));
    });

    cases.add("counts_out_of_range", [](Case &t) {
        const auto c = t.connect();
        char byte;
        const std::vector<iovec> many(IOV_MAX + 1, iovec{&byte, 1});
        t.value("writev -1", writev(c.fd, many.data(), -1));
        t.value("writev IOV_MAX+1", writev(c.fd, many.data(), IOV_MAX + 1));
        t.value("readv -1", readv(c.fd, many.data(), -1));
        t.value("readv IOV_MAX+1", readv(c.fd, many.data(), IOV_MAX + 1));
    });

    cases.add("lengths_out_of_range", [](Case &t) {
        const auto c = t.connect();
        char byte = 'x';
        const iovec negative[] = {{&byte, 1}, {&byte, static_cast<std::size_t>(-1)}};
        t.value("writev", writev(c.fd, negative, 2));
        t.value("readv", readv(c.fd, negative, 2));
        t.value("unread at the peer", c.peer.unread().result);
    });

    cases.add("as_many_as_there_may_be", [](Case &t) {
        const auto c = t.connect();
        std::vector<char> bytes(IOV_MAX * 7);
        Pattern(21).fill(bytes.data(), bytes.size());
        std::vector<iovec> parts;
        for (std::size_t i = 0; i < IOV_MAX; ++i) parts.push_back({bytes.data() + i * 7, 7});
        c.peer.start_receive_pattern(bytes.size(), 21);
        t.value("writev", writev(c.fd, parts.data(), IOV_MAX));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("large_writev_is_whole", [](Case &t) {
        const auto c = t.connect();
        std::vector<char> bytes(9'000'001);
        Pattern(22).fill(bytes.data(), bytes.size());
        const iovec parts[] = {{bytes.data(), 1}, {bytes.data() + 1, 4'000'000}, {bytes.data() + 4'000'001, 5'000'000}};
        c.peer.start_receive_pattern(bytes.size(), 22);
        t.value("writev", writev(c.fd, parts, 3));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("nonblocking_writev_is_partial", [](Case &t) {
        const auto c = t.connect();
        set_nonblocking(c.fd, true);
        std::vector<char> bytes(40 << 20);
        Pattern(23).fill(bytes.data(), bytes.size());
        const std::size_t half = bytes.size() / 2;
        const iovec parts[] = {{bytes.data(), half}, {bytes.data() + half, half}};
        const ssize_t sent = writev(c.fd, parts, 2);
        t.yes_no("a part was sent", sent > 0 && sent < static_cast<ssize_t>(bytes.size()));
        t.value("bytes that the peer lacks", sent - c.peer.receive_pattern(static_cast<std::size_t>(sent), 23).result);
    });

    cases.add("nonblocking_readv_of_nothing", [](Case &t) {
        const auto c = t.connect();
        set_nonblocking(c.fd, true);
        char byte;
        const iovec parts[] = {{&byte, 1}};
        t.value("readv", readv(c.fd, parts, 1));
    });

    cases.add("vectors_with_positions", [](Case &t) {
        const auto c = t.connect();
        char byte = 'x';
        const iovec parts[] = {{&byte, 1}};
        t.value("preadv", preadv(c.fd, parts, 1, 0));
        t.value("pwritev", pwritev(c.fd, parts, 1, 0));
        t.value("pwritev2 at the current position", pwritev2(c.fd, parts, 1, -1, 0));
        t.outcome("peer", c.peer.recv(4));
        c.peer.send("y");
        t.await_unread(c.fd, 1);
        t.data("preadv2 at the current position", preadv2(c.fd, parts, 1, -1, 0), &byte);
    });

    cases.add("vectors_with_positions_of_64_bits", [](Case &t) {
        const auto c = t.connect();
        char byte = 'x';
        const iovec parts[] = {{&byte, 1}};
        t.value("preadv64", preadv64(c.fd, parts, 1, 0));
        t.value("pwritev64", pwritev64(c.fd, parts, 1, 0));
        t.value("preadv64v2", preadv64v2(c.fd, parts, 1, 0, 0));
        t.value("pwritev64v2", pwritev64v2(c.fd, parts, 1, 0, 0));
        t.still_works(c);
        t.value("pwritev64v2 at the current position", pwritev64v2(c.fd, parts, 1, -1, 0));
        t.outcome("peer", c.peer.recv(4));
        c.peer.send("y");
        t.await_unread(c.fd, 1);
        t.data("preadv64v2 at the current position", preadv64v2(c.fd, parts, 1, -1, 0), &byte);
        t.still_works(c);
    });
    return cases;
}

}  // namespace sansock::parity
