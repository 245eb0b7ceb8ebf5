#include <sys/socket.h>

#include <algorithm>
#include <bit>

#include "base/cpu.hpp"
#include "base/guarded_copy.hpp"
#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {
namespace {

/// Large messages are published in pieces, so that the reader copies one while the writer copies the next.
constexpr size_t kPublishMax = 32 * 1024;

/// Under a lock, so that it need not be one operation.
void count_one(std::atomic<uint64_t> &counter) { counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

void count_size(OutState &out, uint64_t size) {
    const auto bits = static_cast<uint32_t>(std::bit_width((size - 1) | 1));  // 6 for up to 64 bytes
    count_one(out.sizes[std::min((std::max(bits, 5u) - 5) / 2, kSizes - 1)]);
}

}  // namespace

long End::send(const iovec *parts, int count, int flags, bool goes_on) {
    if (__builtin_expect(attention_pending(), 0)) progress();
    long sent;
    bool sent_to_window = true, hold_begun = false;
    {
        OutGuard guard(*this);
        SANSOCK_POINT("D1.locked");
        if (__builtin_expect(s_.out.path == Path::kProvider, 1)) {
            sent = send_provider(parts, count, goes_on);
        } else if (s_.out.path == Path::kLeft) {
            return -EBADF;
        } else {
            sent = send_tcp(parts, count, flags, goes_on);
            sent_to_window = false;
            hold_begun = begin_hold();
        }
    }
    if (hold_begun) env_.wake_own();  // to whoever waits for room, the kernel's word does not count for the moment
    // Nothing orders this load after the store of the tail: a peer that parks at this very moment may be missed, and
    // looks again by itself after its first, bounded sleep. A fence here would cost every message 200 ns.
    const memory::HotLine &peer = m_.peer->hot;
    SANSOCK_POINT("D3.published");
    if (sent > 0 && sent_to_window && SANSOCK_MUTATE("NO_DATA_BELL", true, false) &&
        (peer.parked_in.load(std::memory_order_relaxed) != 0 || peer.in_log.load(std::memory_order_relaxed) != 0 ||
         peer.wakers[0].load(std::memory_order_relaxed) != memory::kNoWaker)) {
        env_.wake_peer_readers();
    }
    return or_owed(sent);
}

/// A reset comes before our own end: once a sender hears of the one, from then on of the other. The kernel is asked by a send of nothing,
/// for its word may be there before anybody has noticed.
long End::send_after_end() {
    if (const int error = take_error_of_loss(); error == ECONNRESET) {
        s_.error_owed.store(ECONNRESET, std::memory_order_relaxed);
        return -ECONNRESET;
    }
    const iovec nothing{};
    return take_note(env_.tcp_send(&nothing, 1, MSG_DONTWAIT | MSG_NOSIGNAL)) == -ECONNRESET ? -ECONNRESET : -EPIPE;
}

long End::send_provider(const iovec *parts, int count, bool goes_on) {
    OutState &out = s_.out;
    if (out.fin) return send_after_end();
    if (error_of_loss() != 0) {
        const int error = take_error_of_loss();
        if (error == ECONNRESET) s_.error_owed.store(ECONNRESET, std::memory_order_relaxed);
        return error != 0 ? -error : -EPIPE;
    }
    if (__builtin_expect(s_.tcp_ended.load(std::memory_order_relaxed) != kTcpOpen, 0) && peer_is_dead()) {
        // The peer is gone. The kernel knows best what that means to a sender.
        return take_note(env_.tcp_send(parts, count, MSG_DONTWAIT | MSG_NOSIGNAL));
    }
    if (out.stopped) return -EAGAIN;
    WindowWriter window = writer();
    if (!window.believe_consumed(path().hot.consumed.load(std::memory_order_acquire))) {
        poison(Reason::kProtocol);
        return -ECONNRESET;
    }
    if (__builtin_expect(SANSOCK_MUTATE("NO_GUARD", m_.far, false), 0) &&
        !out.guarded) {  // what nobody but us has must not seem to have never been
        env_.tcp_guard(true);
        out.guarded = true;
        env_.ring_own_helper();  // which looks when that is over
    }
    Parts source(parts, count);
    const size_t asked = source.total();
    size_t left = asked;
    long sent = 0;
    while (left > 0) {
        const size_t room = std::min(window.room(), kPublishMax);
        const auto space = room == 0 ? WindowWriter::Space{} : window.space(std::min(left, room));
        if (space.size == 0) {
            if (sent == 0) {
                m_.mine->hot.want_room.store(1, std::memory_order_relaxed);
                full_fence();
                SANSOCK_POINT("D3.want-room");
                const uint64_t believed = out.consumed;
                if (!window.believe_consumed(path().hot.consumed.load(std::memory_order_acquire))) {
                    poison(Reason::kProtocol);
                    return -ECONNRESET;
                }
                if (out.consumed != believed) continue;  // it moved while we were looking
                if (!goes_on) count_one(out.full);
                return -EAGAIN;
            }
            if (!goes_on) count_one(out.full);
            break;
        }
        size_t filled = 0;
        const CopyPolicy::Choice copy = out.copy.choose(space.size);
        const uint64_t begun = copy.measured ? ticks() : 0;
        while (filled < space.size) {
            const auto run = source.next(space.size - filled);
            if (run.size == 0) break;
            const bool copied = copy.past_cache ? guarded_copy_past_cache(space.data + filled, run.data, run.size)
                                                : guarded_copy(space.data + filled, run.data, run.size);
            if (!copied) return sent > 0 ? sent : -EFAULT;
            filled += run.size;
        }
        if (copy.measured) out.copy.learn(copy, filled, ticks() - begun);
        SANSOCK_POINT("D1.copied");
        window.publish(filled);
        SANSOCK_POINT("D1.published");
        sent += static_cast<long>(filled);
        left -= filled;
        if (left > 0) {
            if (m_.peer->hot.parked_in.load(std::memory_order_relaxed) != 0) env_.wake_peer_readers();
            if (!window.believe_consumed(path().hot.consumed.load(std::memory_order_acquire))) {
                poison(Reason::kProtocol);
                return -ECONNRESET;
            }
        }
    }
    if (m_.mine->hot.want_room.load(std::memory_order_relaxed) != 0) m_.mine->hot.want_room.store(0, std::memory_order_relaxed);
    const auto cpu = static_cast<uint16_t>(current_cpu());
    if (m_.mine->hot.cpu.load(std::memory_order_relaxed) != cpu) m_.mine->hot.cpu.store(cpu, std::memory_order_relaxed);
    out.bytes_provider.store(out.bytes_provider.load(std::memory_order_relaxed) + static_cast<uint64_t>(sent), std::memory_order_relaxed);
    if (sent > 0 && !goes_on) count_size(out, asked);
    return sent;
}

void End::set_window(uint64_t bytes, uint32_t buffers) {
    OutGuard guard(*this);
    s_.out.window = bytes;
    s_.out.buffers_max = static_cast<uint16_t>(buffers);
}

void End::rest() {
    if (!s_.out.lock.try_lock()) return;
    if (s_.out.path == Path::kProvider && !s_.out.stopped && !s_.out.replaying) {
        WindowWriter window = writer();
        if (window.believe_consumed(path().hot.consumed.load(std::memory_order_acquire))) window.rest();
    }
    s_.out.lock.unlock();
}

bool End::rest_guard() {
    OutGuard guard(*this);
    if (!s_.out.guarded || s_.out.path != Path::kProvider) return true;
    if (s_.out.replaying || SANSOCK_MUTATE("GUARD_OFF_EARLY", unconsumed() > 0, false)) return false;
    unguard();
    return true;
}

long End::send_tcp(const iovec *parts, int count, int flags, bool goes_on) {
    OutState &out = s_.out;
    if (out.stopped && !peer_is_dead()) return -EAGAIN;
    if (out.fin) return send_after_end();
    if (try_switch()) {
        out.held_until.store(0, std::memory_order_relaxed);
        const long sent = send_provider(parts, count, goes_on);
        if (sent > 0) env_.wake_peer_readers();
        return sent;
    }
    if (s_.required && s_.tcp_ended.load(std::memory_order_acquire) == kTcpOpen) {  // until the peer's end is ready nothing may be sent
        m_.mine->hot.want_room.store(1, std::memory_order_relaxed);
        full_fence();
        return m_.peer->cold.ready.load(std::memory_order_acquire) == s_.epoch.load(std::memory_order_relaxed) && try_switch()
                   ? send_provider(parts, count, goes_on)
                   : -EAGAIN;
    }
    if (holding()) return -EAGAIN;
    const long sent = take_note(env_.tcp_send(parts, count, flags | MSG_DONTWAIT | MSG_NOSIGNAL));
    SANSOCK_POINT("U3.stayed");
    if (sent > 0) out.out.fetch_add(static_cast<uint64_t>(sent), std::memory_order_relaxed);
    return sent;
}

}  // namespace sansock::stream
