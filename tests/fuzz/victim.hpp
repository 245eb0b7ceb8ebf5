// A process whose peer writes what it likes: an end of a connection, and a kernel on paper that is as honest as the real one.
#pragma once
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "fuzz.hpp"
#include "stream/end.hpp"

namespace sansock::fuzz {

inline constexpr uint32_t kBufferSize = 4096, kBuffers = 6;
/// What the application may be given: these bytes lie in the peer's window, or come by TCP; and nothing else does.
inline constexpr uint8_t kOfWindow = 0xa5, kOfTcp = 0x5a;

struct Victim final : stream::Environment {
    Victim() {
        MUST(arena.create(kBufferSize, kBuffers * kBufferSize) == 0);
        slot = &arena.slot(*arena.take_slot());
        state->epoch = 1;
        state->out.window = 4 * kBufferSize;
        state->out.buffers_max = 4;
        state->out.segment_buffer = memory::kInlineBuffer;
        state->attached = 1;
    }
    ~Victim() { arena.close(); }

    // --- what the application, the helper and the kernel do; the numbers are the input's ---
    void act(Input &input) {
        const uint64_t consumed_before = slot->hot.consumed.load();
        switch (input.below(20)) {
            case 0: send(input.take<uint16_t>()); break;
            case 1: receive(input.take<uint16_t>(), MSG_PEEK); break;
            case 2: receive(input.take<uint16_t>(), MSG_TRUNC); break;
            case 3: (void)end->events(input.take<int16_t>() & (POLLIN | POLLOUT | POLLRDHUP)); break;
            case 4: end->progress(); break;
            case 5: end->step(static_cast<stream::Reason>(1 + input.below(23)), input.below(2) != 0); break;
            case 6: end->finish_writing(); break;
            case 7: end->finish_reading(); break;
            case 8: arrived += fin || reset ? 0 : input.take<uint16_t>(); break;
            case 9: end_tcp(input.below(2) != 0); break;
            case 10: end->declare_ready(); break;
            case 11: input.below(2) != 0 ? end->drain() : end->undrain(); break;
            case 12: fin || reset ? void() : end->peer_deserts(); break;
            case 13: (void)end->take_error(0), end->error_told(); break;
            case 14: end->look_for_foreign_bytes(), end->rest(), kernel_room = input.take<uint16_t>(); break;
            case 15: receive(input.take<uint16_t>(), 0); break;
            case 16: lend(input.below(2) != 0); break;
            case 17: (void)end->both_finished(), (void)end->at_rest_on_tcp(), (void)end->peer_is_dead(); break;
            case 18: input.below(2) != 0 ? end->rests_for_good() : end->may_leave(); break;
            case 19: send(size_t{4} * input.take<uint16_t>()); break;
        }
        MUST(slot->hot.consumed.load() >= consumed_before);
        check();
    }
    void send(size_t size) {
        static std::vector<uint8_t> bytes(size_t{4} * UINT16_MAX, 0x33);
        const iovec part{bytes.data(), size};
        const long rc = end->send(&part, 1, 0);
        MUST(rc <= static_cast<long>(size));
        if (rc < 0) end->error_told();
    }
    void receive(size_t size, int flags) {
        static std::vector<uint8_t> bytes(UINT16_MAX);
        const iovec part{bytes.data(), size};
        const long rc = end->receive(&part, 1, flags);
        MUST(rc <= static_cast<long>(size));
        for (long i = 0; i < rc && (flags & MSG_TRUNC) == 0; ++i) {
            const uint8_t byte = std::exchange(bytes[static_cast<size_t>(i)], uint8_t{0});
            MUST(byte == kOfWindow || byte == kOfTcp);
        }
        if (rc < 0) end->error_told();
    }
    void end_tcp(bool by_reset) {
        (by_reset ? reset : fin) = true;
        if (by_reset) got = arrived;
        end->tcp_ended(by_reset ? stream::kTcpReset : stream::kTcpFin);
    }
    /// As lend() and take_back() of the socket layer; `back`: whoever had it has it no more.
    void lend(bool back) {
        if (back) {
            (void)end->take_back(state->lent.load(), false);
            return;
        }
        state->lent += 1;
        end->tell_lent();
        end->step(stream::Reason::kExec, false);
    }
    void check() const {
        const uint64_t out = state->out.out.load();
        MUST(end->unread() <= end->peer_window_max() && end->unread_beside_tcp() <= end->peer_window_max());
        MUST(end->unconsumed() <= out && end->unacknowledged() <= out);
        if (end->on_provider(true)) MUST(out - state->out.consumed <= state->out.window);
    }
    /// As the socket layer ends it.
    void close(bool abort) {
        (void)end->close(abort);
        end->progress();
        end->leave_memory();
        MUST(end->send(nullptr, 0, 0) < 0);
    }

    // --- kernel TCP ---
    long tcp_send(const iovec *parts, int count, int) override {
        if (poisoned || reset) return -EPIPE;
        size_t sum = 0;
        for (int i = 0; i < count; ++i) sum += parts[i].iov_len;
        const size_t taken = std::min(sum, kernel_room);
        kernel_room -= taken;
        sent += taken;
        return taken == 0 && sum > 0 ? -EAGAIN : static_cast<long>(taken);
    }
    long tcp_receive(const iovec *parts, int count, int flags) override {
        if ((poisoned || reset) && !std::exchange(told, true)) return -ECONNRESET;
        long sum = 0;
        for (int i = 0; i < count; ++i) {
            const size_t here = std::min<uint64_t>(parts[i].iov_len, arrived - got - static_cast<uint64_t>(sum));
            if ((flags & MSG_TRUNC) == 0 && here > 0) std::memset(parts[i].iov_base, kOfTcp, here);
            sum += static_cast<long>(here);
        }
        if ((flags & MSG_PEEK) == 0) got += static_cast<uint64_t>(sum);
        return sum > 0 ? sum : fin || reset || poisoned ? 0 : -EAGAIN;
    }
    long tcp_unsent() override { return kernel_room % 3 == 0 ? 0 : 1; }
    long tcp_unread() override { return static_cast<long>(arrived - got); }
    long tcp_counts(stream::KernelCounts &counts) override {
        counts = {sent, arrived};
        return 0;
    }
    bool tcp_has_error() override { return (reset || poisoned) && !told; }
    void tcp_shutdown_write() override {}
    void tcp_acknowledge() override {}
    void tcp_guard(bool) override {}
    void tcp_poison() override { poisoned = true, got = arrived; }
    uint64_t now_ns() override { return now += 100'000; }
    void ring_peer_helper() override {}
    void ring_own_helper() override {}
    void wake_peer_readers() override {}
    void wake_peer_writers() override {}
    void wake_own() override {}
    void path_opens(uint64_t at) override {
        if (opens) opens(at);
    }

    memory::Arena arena;
    memory::Slot *slot;
    std::unique_ptr<stream::State> state = std::make_unique<stream::State>();
    std::unique_ptr<stream::End> end;
    std::function<void(uint64_t at)> opens;
    size_t kernel_room = 65536;
    uint64_t sent = 0, arrived = 0, got = 0, now = 1;
    bool fin = false, reset = false, poisoned = false, told = false;
};

/// The peer's words, any of them.
inline void write_cold_word(memory::ColdWords &cold, Input &input, uint64_t in, uint64_t out) {
    std::atomic<uint64_t> *const offsets[] = {&cold.switched_at, &cold.frozen_at, &cold.fin_at};
    std::atomic<uint32_t> *const words[] = {&cold.ready, &cold.switched, &cold.frozen, &cold.step,   &cold.stepped,
                                            &cold.fin,   &cold.state,    &cold.pinned, &cold.reason, &cold.resting};
    const uint32_t which = input.below(std::size(offsets) + std::size(words));
    if (which < std::size(offsets)) {
        offsets[which]->store(input.number(input.below(2) != 0 ? in : out));
    } else {
        const auto epoch = static_cast<uint32_t>(input.take<uint8_t>());
        words[which - std::size(offsets)]->store(epoch < 200 ? epoch % 6 : static_cast<uint32_t>(input.number(1)));
    }
}

/// What a correct peer says next of a STEP, which it has begun or answers: that it has frozen at Z, that it has repeated, that it is ready.
inline void answer_step(memory::ColdWords &cold, const stream::State &state) {
    const uint32_t epoch = state.epoch.load();
    if (cold.frozen.load() < epoch) {
        cold.frozen_at = std::max<uint64_t>(state.out.consumed, state.out.switched_at);
        cold.frozen = cold.step = epoch;
    } else if (cold.stepped.load() < epoch) {
        cold.stepped = epoch;
    } else {
        cold.ready = epoch + 2;
    }
}

}  // namespace sansock::fuzz
