// Two ends of a connection with everything between them on paper: kernel TCP as two queues, and a provider that carries
// messages. The stream and the carriers are the ones that ship.
//
// Of one host, they see each other's slot, and TCP carries at once. On two hosts, TCP, the provider and the words each take their time, so
// that they come in any order.
#pragma once
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <random>
#include <utility>

#include "memory_link.hpp"
#include "path/carrier.hpp"
#include "stream/end.hpp"
#include "stream/words.hpp"

namespace sansock::path {

inline constexpr uint32_t kBufferSize = 4096;

inline uint8_t byte_at(uint64_t seed, uint64_t offset) { return static_cast<uint8_t>((offset * 2654435761u + seed * 40503u) >> 13); }

struct Host final : stream::Environment {
    struct Sizes {
        uint32_t sends = 5, receives = 6;
        uint64_t window = 5 * kBufferSize;
        bool far = false;
    };
    explicit Host(uint64_t seed_, const Sizes &sizes_)
        : seed(seed_), sizes(sizes_), far(sizes.far), endpoint(std::min(sizes.sends, kSendsMax), sizes.receives) {
        EXPECT_EQ(arena.create(kBufferSize, 16 << 20), 0);
        EXPECT_EQ(mirror.create(kBufferSize, kBufferSize), 0);
        EXPECT_EQ(landing.create(kBufferSize + kFrameRoom, 16 << 20), 0);
        slot = &arena.slot(*arena.take_slot());
        EXPECT_TRUE(carrier.open(landing, sizes.receives) && carrier.lend(endpoint, nullptr));
        state = std::make_unique<stream::State>();
        state->epoch = 1;
        state->out.window = sizes.window;
        state->out.buffers_max = static_cast<uint16_t>(sizes.sends);
        state->out.segment_buffer = memory::kInlineBuffer;
        state->attached = 1;
    }
    ~Host() {
        arena.close();
        if (!far) theirs.close();
        mirror.close();
        carrier.close();
        landing.close();
    }

    void meet(Host &other) {
        peer = &other;
        if (far) {
            theirs = memory::PeerArena::of(mirror);
        } else {
            ASSERT_EQ(theirs.map(other.arena.fd()), 0);
        }
        end = std::make_unique<stream::End>(
            *state, stream::End::Memory{&arena, slot, &theirs, &theirs.slot(0), &carrier.landing().view(), &carrier.landing().slot(), far},
            *this);
        begin_epoch();
    }
    /// Another endpoint, for another epoch.
    void prepare_again() {
        ASSERT_TRUE(end->may_return());
        carrier.stop();
        std::destroy_at(&endpoint);
        std::construct_at(&endpoint, std::min(sizes.sends, kSendsMax), sizes.receives);
        ASSERT_TRUE(carrier.lend(endpoint, nullptr));
    }
    void begin_epoch() {
        carrier.start({&arena, slot, &theirs.slot(0), nullptr, state.get(), far}, {.epoch = state->epoch,
                                                                                   .send_depth = std::min(sizes.sends, kSendsMax),
                                                                                   .message_bytes = kBufferSize + kFrameRoom,
                                                                                   .peer_receives = sizes.receives});
        endpoint.connect(peer->endpoint);
        end->declare_ready();
    }

    // --- what a process does ---
    void pump() {
        const Moved moved = carrier.move(true);
        if (moved.failed) end->step(stream::Reason::kProviderFailed, false);
        if (end->attention_pending() || state->out.replaying) end->progress();
        if (!carrier.is_of_epoch(state->epoch)) {
            carrier.stop();
            endpoint.close();
        }
    }
    /// Sends up to `size` bytes of the pattern.
    void send(size_t size) {
        std::vector<uint8_t> bytes(size);
        for (size_t i = 0; i < size; ++i) bytes[i] = byte_at(seed, sent + i);
        const iovec part{bytes.data(), size};
        const long rc = end->send(&part, 1, 0);
        ASSERT_TRUE(rc > 0 || rc == -EAGAIN) << rc;
        if (rc > 0) sent += static_cast<uint64_t>(rc);
    }
    /// Receives up to `size` bytes and compares them with the peer's pattern.
    void receive(size_t size) {
        std::vector<uint8_t> bytes(size);
        const iovec part{bytes.data(), size};
        const long rc = end->receive(&part, 1, 0);
        if (rc == 0) at_end = true;
        ASSERT_TRUE(rc >= 0 || rc == -EAGAIN) << rc;
        for (long i = 0; i < rc; ++i) ASSERT_EQ(bytes[static_cast<size_t>(i)], byte_at(peer->seed, received++));
    }

    // --- what takes its time between two hosts; each answers whether there was anything ---
    bool deliver_words() {
        if (words.empty()) return false;
        stream::lay_down(words.front(), mirror.slot(0));
        words.pop_front();
        return true;
    }
    bool deliver_tcp(size_t size) {
        const size_t moved = std::min(size, wire.size());
        tcp.insert(tcp.end(), wire.begin(), wire.begin() + static_cast<long>(moved));
        wire.erase(wire.begin(), wire.begin() + static_cast<long>(moved));
        counts.received += moved;
        const bool ends = fin_sent && wire.empty() && !fin;
        if (ends) fin = true;
        return moved > 0 || ends;
    }
    void words_changed() override { peer->words.push_back(stream::read_words(*slot)); }
    void tcp_end_seen() override { asked = true; }
    /// The kernel tells of the end; the peer answers that there is nothing else, when all is here that it has said.
    void see_end() {
        while (deliver_words()) {
        }
        if (end->attention_pending()) end->progress();
        end->tcp_ended(stream::kTcpFin);
    }

    // --- kernel TCP ---
    long tcp_send(const iovec *parts, int count, int) override {
        long sum = 0;
        for (int i = 0; i < count; ++i) {
            const auto *bytes = static_cast<const uint8_t *>(parts[i].iov_base);
            peer->wire.insert(peer->wire.end(), bytes, bytes + parts[i].iov_len);
            sum += static_cast<long>(parts[i].iov_len);
        }
        counts.sent += static_cast<uint64_t>(sum);
        if (!far) peer->deliver_tcp(SIZE_MAX);
        return sum;
    }
    long tcp_receive(const iovec *parts, int count, int) override {
        long sum = 0;
        for (int i = 0; i < count; ++i) {
            auto *bytes = static_cast<uint8_t *>(parts[i].iov_base);
            for (size_t j = 0; j < parts[i].iov_len && !tcp.empty(); ++j, ++sum) {
                bytes[j] = tcp.front();
                tcp.pop_front();
            }
        }
        if (sum == 0 && std::exchange(was_reset, false)) return -ECONNRESET;
        return sum > 0 ? sum : fin ? 0 : -EAGAIN;
    }
    long tcp_unsent() override { return static_cast<long>(peer->wire.size()); }
    long tcp_unread() override { return static_cast<long>(tcp.size()); }
    long tcp_counts(stream::KernelCounts &answer) override {
        answer = counts;
        return 0;
    }
    bool tcp_has_error() override { return false; }
    void tcp_shutdown_write() override {
        peer->fin_sent = true;
        if (!far) peer->deliver_tcp(0);
    }
    void tcp_acknowledge() override {}
    uint64_t now_ns() override { return sansock::now_ns(); }
    void tcp_guard(bool on) override { guarded = on; }
    void tcp_poison() override { poisoned = true; }
    void ring_peer_helper() override {}
    void ring_own_helper() override {}
    void wake_peer_readers() override {}
    void wake_peer_writers() override {}
    void path_opens(uint64_t at) override { Landing::open_at(carrier.landing().slot(), at); }
    void wake_own() override {}

    const uint64_t seed;
    const Sizes sizes;
    const bool far;
    Host *peer = nullptr;
    memory::Arena arena, landing, mirror;
    memory::PeerArena theirs;
    memory::Slot *slot = nullptr;
    MemoryEndpoint endpoint;
    Carrier carrier;
    std::unique_ptr<stream::State> state;
    std::unique_ptr<stream::End> end;
    std::deque<uint8_t> tcp, wire;  ///< What has arrived, and what is on its way.
    std::deque<stream::Words> words;
    stream::KernelCounts counts;
    uint64_t sent = 0, received = 0;
    bool fin = false, fin_sent = false, poisoned = false, at_end = false, asked = false, guarded = false, was_reset = false;
};

/// A connection whose two directions are on the provider.
struct Pair {
    explicit Pair(const Host::Sizes &sizes = {}) : a(1, sizes), b(2, sizes) {
        a.meet(b);
        b.meet(a);
        pump();
    }
    /// Both rest on TCP, and have said so to each other.
    void meet_again() {
        a.prepare_again();
        b.prepare_again();
        a.begin_epoch();
        b.begin_epoch();
    }
    /// Until nothing moves any more.
    void pump() {
        for (int quiet = 0; quiet < 2;) {
            const uint64_t before = a.endpoint.delivered + b.endpoint.delivered;
            a.pump();
            b.pump();
            while (a.endpoint.deliver() || b.endpoint.deliver() || a.deliver_words() || b.deliver_words() || a.deliver_tcp(SIZE_MAX) ||
                   b.deliver_tcp(SIZE_MAX)) {
            }
            a.pump();
            b.pump();
            quiet = before == a.endpoint.delivered + b.endpoint.delivered && a.endpoint.is_idle() && b.endpoint.is_idle() ? quiet + 1 : 0;
        }
    }
    /// A random step of anybody.
    void step(std::mt19937 &random, size_t size_max) {
        Host &one = random() % 2 != 0 ? a : b;
        const size_t size = 1 + random() % size_max;
        switch (random() % (one.far ? 9 : 6)) {
            case 0: return one.send(size);
            case 1: return one.receive(size);
            case 2:
            case 3: one.endpoint.deliver(); return;
            case 6: one.deliver_words(); return;
            case 7:
            case 8: one.deliver_tcp(size); return;
            default: one.pump();
        }
    }
    /// Everything that was sent arrives, and nobody broke a rule.
    void finish() {
        for (int round = 0; round < 1000 && (a.received != b.sent || b.received != a.sent); ++round) {
            pump();
            a.receive(1 << 20);
            b.receive(1 << 20);
        }
        EXPECT_EQ(a.received, b.sent);
        EXPECT_EQ(b.received, a.sent);
        EXPECT_EQ(a.endpoint.fault, "");
        EXPECT_EQ(b.endpoint.fault, "");
        EXPECT_FALSE(a.poisoned || b.poisoned);
    }

    Host a, b;
};

}  // namespace sansock::path
