// The upgrade: from TCP to the provider, one direction at a time, at a quiet point.
#include "base/cpu.hpp"
#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {
namespace {

constexpr uint64_t kHoldNs = 50'000'000;
constexpr uint64_t kHoldFarNs = 1'000'000'000;  ///< What a kernel queues for a wire between hosts takes a slow one so long to carry.
constexpr uint64_t kShortQueue = 8;  ///< A queue of this part of the window runs empty by itself, now that the peer acknowledges at once.

}  // namespace

void End::bump_attention() {
    auto &attention = m_.mine->hot.attention;
    attention.fetch_add(1, std::memory_order_release);
    if (m_.far && SANSOCK_MUTATE("WORDS_UNTOLD", true, false)) env_.words_changed();
}

/// Once both ends are on TCP, this one stays there; the peer is told, for its own sake.
void End::pin() {
    s_.pinned.store(1, std::memory_order_relaxed);
    m_.mine->cold.pinned.store(1, std::memory_order_release);
}

void End::declare_ready(uint32_t of_epoch) {
    auto &ready = m_.mine->cold.ready;
    if (stays_on_tcp() || peer_rests()) return;
    // Whoever pins the connection and then takes the lock knows whether the peer may switch.
    StepGuard step(*this);
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    if (of_epoch != 0 && SANSOCK_MUTATE("READY_WITHOUT_PATH", of_epoch != epoch, false)) return;
    if (has_left() || stays_on_tcp() || ready.load(std::memory_order_relaxed) == epoch || stepping()) return;
    // It will not switch, and may not be there to answer a STEP.
    if (m_.peer->cold.pinned.load(std::memory_order_acquire) != 0 || peer_rests()) return;
    if (is_gone() || s_.deserted.load(std::memory_order_acquire) != 0) return;
    if (s_.kernel_reads.load(std::memory_order_acquire) != 0) return;  // asleep where a switch would not wake it
    {
        InGuard guard(*this);
        m_.mine->hot.consumed.store(s_.in.in.load(std::memory_order_relaxed), std::memory_order_release);
    }
    SANSOCK_POINT("U2.covered");
    ready.store(epoch, std::memory_order_release);
    SANSOCK_POINT("U2.ready");
    bump_attention();
    full_fence();
    if (peer_rests()) {  // it has not seen us: this epoch must end while there is somebody to end it with
        if (!knows_reason()) s_.reason.store(static_cast<uint8_t>(Reason::kExec), std::memory_order_relaxed);
        s_.step_wanted.store(epoch, std::memory_order_relaxed);
        env_.ring_own_helper();
        return;
    }
    if (m_.peer->hot.want_room.load(std::memory_order_relaxed) != 0) env_.ring_peer_helper();  // a required peer waits for just this
    help_peer_to_switch();
}

/// All that has come by TCP is read. The peer switches once its queue is empty, which it is only when everything is acknowledged, and with
/// that the kernel may take 200 ms.
void End::help_peer_to_switch() {
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &peer = m_.peer->cold;
    if (m_.mine->cold.ready.load(std::memory_order_relaxed) != epoch || peer.switched.load(std::memory_order_acquire) == epoch) return;
    if (stays_on_tcp() || peer.pinned.load(std::memory_order_acquire) != 0) return;
    const uint64_t in = s_.in.in.load(std::memory_order_relaxed);
    if (s_.in.acknowledged.exchange(in, std::memory_order_relaxed) != in) env_.tcp_acknowledge();
}

bool End::holding() {
    const uint64_t until = s_.out.held_until.load(std::memory_order_relaxed);
    // After a reset the kernel counts on what it has lost.
    return until != 0 && s_.out.path == Path::kTcp && !s_.out.fin && !stays_on_tcp() && !is_gone() && env_.tcp_unsent() > 0 &&
           env_.now_ns() < until;
}

/// Under the out lock, after bytes have gone to TCP: whether those that come next are held back. A bulk sender's kernel queue hardly ever
/// runs empty between two calls, and only then may the stream leave TCP: so it is not fed until it is empty, or for as long as that should
/// take. The receiver has its own queue to read meanwhile and hardly notices. If it was in vain, the next time is after twice as many
/// bytes.
bool End::begin_hold() {
    OutState &out = s_.out;
    const uint64_t sent = out.out.load(std::memory_order_relaxed);
    if (out.path != Path::kTcp || sent < out.hold_at || stays_on_tcp()) return false;
    if (m_.peer->cold.ready.load(std::memory_order_acquire) != s_.epoch.load(std::memory_order_relaxed)) return false;
    const long unsent = env_.tcp_unsent();
    if (unsent <= 0 || static_cast<uint64_t>(unsent) < out.window / kShortQueue) return false;
    out.hold_at = 2 * sent;
    out.held_until.store(env_.now_ns() + (m_.far ? kHoldFarNs : kHoldNs), std::memory_order_relaxed);
    return true;
}

/// A direction has come to the provider. Both do as a rule; an end that only receives has moved as well.
void End::count_upgrade() {
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    if (s_.epoch_counted.exchange(epoch, std::memory_order_relaxed) == epoch) return;
    s_.upgrades.fetch_add(1, std::memory_order_relaxed);
    s_.reason.store(static_cast<uint8_t>(Reason::kNone), std::memory_order_relaxed);
}

/// Under the out lock. True when this direction is on the provider from here on.
bool End::try_switch() {
    OutState &out = s_.out;
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &peer = m_.peer->cold;
    if (peer.ready.load(std::memory_order_acquire) != epoch || stays_on_tcp() || is_gone()) return false;
    if (m_.mine->cold.frozen.load(std::memory_order_relaxed) == epoch || peer.step.load(std::memory_order_acquire) >= epoch) return false;
    if (peer.frozen.load(std::memory_order_acquire) >= epoch) return false;
    if (s_.kernel_writes.load(std::memory_order_acquire) != 0) return false;
    if (SANSOCK_MUTATE("SWITCH_BUSY_QUEUE", env_.tcp_unsent() != 0, false)) return false;
    const uint64_t at = out.out.load(std::memory_order_relaxed);
    KernelCounts counts;
    SANSOCK_POINT("U3.quiet");
    if (env_.tcp_counts(counts) < 0) return false;
    if (counts.sent != at - out.skipped) {
        // Somebody writes past the library. Nothing was said yet, so staying is free.
        s_.reason.store(static_cast<uint8_t>(Reason::kUnseenIo), std::memory_order_relaxed);
        pin();
        bump_attention();
        return false;
    }
    SANSOCK_POINT("U3.counted");
    out.switched_at = at;
    writer().reset(at);
    out.epoch_switched = epoch;
    out.path = Path::kProvider;
    SANSOCK_POINT("U3.moved");
    memory::ColdWords &mine = m_.mine->cold;
    mine.switched_at.store(at, std::memory_order_relaxed);
    SANSOCK_POINT("U3.named");
    mine.switched.store(epoch, std::memory_order_release);
    SANSOCK_POINT("U3.switched");
    bump_attention();
    count_upgrade();
    return true;
}

/// Under the in lock, so that the step itself is left to the helper.
void End::bytes_moved_unseen(uint32_t epoch) {
    s_.reason.store(static_cast<uint8_t>(Reason::kUnseenIo), std::memory_order_relaxed);
    pin();
    s_.step_wanted.store(epoch, std::memory_order_relaxed);
    env_.ring_own_helper();
}

/// Under the in lock. True when the peer has switched, and everything that it sent by TCP is read: from here on the window.
bool End::arrive_at_switch() {
    InState &in = s_.in;
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &peer = m_.peer->cold;
    if (peer.switched.load(std::memory_order_acquire) != epoch) return false;
    // An honest peer switches for nobody who is not ready; and there may be no path to read.
    if (m_.mine->cold.ready.load(std::memory_order_relaxed) != epoch) return false;
    if (m_.mine->cold.frozen.load(std::memory_order_relaxed) == epoch) return false;  // we have stepped back already
    const uint64_t at = in.in.load(std::memory_order_relaxed);
    const uint64_t x = peer.switched_at.load(std::memory_order_relaxed);
    if (x < at) {
        poison(Reason::kProtocol);
        return false;
    }
    KernelCounts counts;
    if (x != at) {
        // Once the kernel holds nothing of what it has carried up to X, and we have not read it, somebody else has.
        if (env_.tcp_unread() == 0 && env_.tcp_counts(counts) >= 0 && counts.received == x - in.skipped && env_.tcp_unread() == 0) {
            bytes_moved_unseen(epoch);
        }
        return false;
    }
    SANSOCK_POINT("U5.arrived");
    // The peer's queue was empty at X, so whatever is there now was not written by it.
    if (env_.tcp_unread() != 0 || env_.tcp_counts(counts) < 0 || counts.received > at - in.skipped) {
        poison(Reason::kForeignBytes);
        return false;
    }
    if (counts.received < at - in.skipped) {
        bytes_moved_unseen(epoch);
        return false;
    }
    SANSOCK_POINT("U5.counted");
    env_.path_opens(at);
    reader().reset(at);
    in.path = Path::kProvider;
    full_fence();
    env_.tcp_is_silent();
    count_upgrade();
    return true;
}

}  // namespace sansock::stream
