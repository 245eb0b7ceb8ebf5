#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "pattern.hpp"
#include "subjects.hpp"

namespace sansock::parity {

namespace {

constexpr std::size_t kMuch = 64 << 20;

/// Sends `total` bytes of the pattern in pieces of random size, through whichever call chance picks.
void send_in_pieces(int fd, std::size_t total, std::uint64_t seed, std::size_t largest) {
    std::mt19937_64 random(seed);
    Pattern pattern(seed);
    std::vector<char> piece(largest);
    for (std::size_t sent = 0; sent < total;) {
        const std::size_t size = std::min(1 + random() % largest, total - sent);
        pattern.fill(piece.data(), size);
        for (std::size_t done = 0; done < size;) {
            const std::size_t left = size - done;
            char *from = piece.data() + done;
            ssize_t n;
            switch (random() % 3) {
                case 0: n = write(fd, from, left); break;
                case 1: n = send(fd, from, left, random() % 2 == 0 ? MSG_MORE : 0); break;
                default: {
                    const iovec parts[] = {{from, left / 2}, {from + left / 2, left - left / 2}};
                    n = writev(fd, parts, 2);
                }
            }
            done += static_cast<std::size_t>(must("piece", n));
        }
        sent += size;
    }
}

Outcome receive_in_pieces(int fd, std::size_t total, std::uint64_t pattern_seed, std::uint64_t size_seed, std::size_t largest) {
    std::mt19937_64 random(size_seed);
    Pattern pattern(pattern_seed);
    std::vector<char> piece(largest), peeked(largest);
    for (std::size_t got = 0; got < total;) {
        const std::size_t size = std::min(1 + random() % largest, total - got);
        const ssize_t seen = random() % 8 == 0 ? recv(fd, peeked.data(), size, MSG_PEEK) : 0;
        const ssize_t n = recv(fd, piece.data(), size, random() % 16 == 0 ? MSG_WAITALL : 0);
        if (n <= 0) return {static_cast<long>(got), n < 0 ? errno : 0, {}};
        if (!pattern.matches(piece.data(), static_cast<std::size_t>(n))) return {-2, EBADMSG, {}};
        if (memcmp(piece.data(), peeked.data(), static_cast<std::size_t>(std::min(seen, n))) != 0) return {-3, EBADMSG, {}};
        got += static_cast<std::size_t>(n);
    }
    return {static_cast<long>(total), 0, {}};
}

}  // namespace

// Many bytes, every one of them checked.
Subject bulk() {
    Subject cases{"bulk"};
    cases.add("out", [](Case &t) {
        const auto c = t.connect();
        c.peer.start_receive_pattern(kMuch, 51);
        t.outcome("send", send_pattern(c.fd, kMuch, 51));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("in", [](Case &t) {
        const auto c = t.connect();
        c.peer.start_send_pattern(kMuch, 52);
        t.outcome("recv", receive_pattern(c.fd, kMuch, 52));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("both_ways_at_once", [](Case &t) {
        const auto c = t.connect();
        c.peer.start_exchange(kMuch, 53, 54);
        t.outcome("exchange", exchange_patterns(c.fd, kMuch, 54, 53));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("from_the_first_byte_on", [](Case &t) {
        const auto c = t.connect_cold();
        c.peer.start_exchange(kMuch / 2, 55, 56);
        t.outcome("exchange", exchange_patterns(c.fd, kMuch / 2, 56, 55));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("pieces_of_random_size", [](Case &t) {
        const auto c = t.connect();
        const std::uint64_t seed = t.options().seed;
        c.peer.start_receive_pattern(6 << 20, seed);
        send_in_pieces(c.fd, 6 << 20, seed, 5'000);
        t.outcome("peer", c.peer.finish());
        c.peer.start_send_pattern(6 << 20, seed + 1);
        t.outcome("recv", receive_in_pieces(c.fd, 6 << 20, seed + 1, seed, 5'000));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("large_pieces_of_random_size", [](Case &t) {
        const auto c = t.connect();
        const std::uint64_t seed = t.options().seed;
        c.peer.start_exchange(32 << 20, seed + 2, seed + 3);
        std::thread sender([&] { send_in_pieces(c.fd, 32 << 20, seed + 3, 700'000); });
        t.outcome("recv", receive_in_pieces(c.fd, 32 << 20, seed + 2, seed, 700'000));
        sender.join();
        t.outcome("peer", c.peer.finish());
    });

    cases.add("a_slow_reader", [](Case &t) {
        const auto c = t.connect();
        c.peer.start_send_pattern(8 << 20, 57);
        let_others_block();
        t.outcome("recv", receive_pattern(c.fd, 8 << 20, 57));
        t.outcome("peer", c.peer.finish());
    });

    cases.add("quiet_between_bursts", [](Case &t) {
        const auto c = t.connect();
        for (std::uint64_t i = 0; i < 10; ++i) {
            c.peer.start_exchange(300'000, 60 + i, 80 + i);
            t.outcome("burst", exchange_patterns(c.fd, 300'000, 80 + i, 60 + i));
            c.peer.finish();
            let_others_block();
        }
    });
    return cases;
}

}  // namespace sansock::parity
