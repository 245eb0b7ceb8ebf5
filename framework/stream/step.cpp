// STEP: both directions back to TCP, at a byte that the receiver names.
#include <sys/socket.h>

#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {

// Several threads, the helper among them, may act on the same word of the peer at once, and one of them may be so late that the
// epoch is over, or the next one on. So each part of a step is done for an epoch, and once: under its lock it looks again.

/// Names Z, the byte from which the peer repeats on TCP. From here on this end reads TCP only. False: the peer has lied.
bool End::freeze(uint32_t epoch) {
    Guard guard(s_.in.lock);
    memory::ColdWords &mine = m_.mine->cold;
    if (s_.epoch.load(std::memory_order_acquire) != epoch || mine.frozen.load(std::memory_order_relaxed) == epoch) return true;
    const memory::ColdWords &peer = m_.peer->cold;
    const uint64_t at = s_.in.in.load(std::memory_order_relaxed);
    uint64_t z = at;
    SANSOCK_POINT("S1.freezing");
    if (peer.switched.load(std::memory_order_acquire) == epoch) {
        const uint64_t x = peer.switched_at.load(std::memory_order_relaxed);
        // Bytes up to X are in the kernel's hands already, read or not; only what follows can be repeated.
        if (x > at) {
            z = x;
        } else if (s_.in.path == Path::kTcp && x < at) {
            return false;
        }
        s_.in.skipped += z - x;
    }
    s_.in.path = Path::kTcp;
    mine.frozen_at.store(z, std::memory_order_relaxed);
    SANSOCK_POINT("S1.named");
    mine.frozen.store(epoch, std::memory_order_release);
    SANSOCK_POINT("S1.frozen");
    return true;
}

void End::stop_sending(uint32_t epoch) {
    Guard guard(s_.out.lock);
    if (s_.epoch.load(std::memory_order_acquire) == epoch && m_.mine->cold.stepped.load(std::memory_order_relaxed) != epoch) s_.out.stopped = true;
    SANSOCK_POINT("S1.stopped");
}

void End::step(Reason reason, bool for_good) {
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    if (for_good) pin();
    s_.reason.store(static_cast<uint8_t>(reason), std::memory_order_relaxed);
    memory::ColdWords &mine = m_.mine->cold;
    uint32_t known = mine.step.load(std::memory_order_relaxed);
    if (known == epoch) return;
    if (s_.required) return poison(reason);
    if (!freeze(epoch)) return poison(Reason::kProtocol);
    stop_sending(epoch);
    mine.reason.store(static_cast<uint32_t>(reason), std::memory_order_relaxed);
    if (!mine.step.compare_exchange_strong(known, epoch, std::memory_order_release)) return;
    SANSOCK_POINT("S1.asked");
    bump_attention();
    SANSOCK_POINT("S1.told");
    env_.ring_peer_helper();
    progress();
}

void End::progress() {
    const uint32_t seen = m_.peer->hot.attention.load(std::memory_order_acquire);
    if (m_.peer->cold.pinned.load(std::memory_order_acquire) != 0) s_.pinned.store(1, std::memory_order_relaxed);
    if (m_.peer->cold.state.load(std::memory_order_acquire) == static_cast<uint32_t>(memory::EndState::kClosed)) {
        s_.peer_closed.store(1, std::memory_order_release);
    }
    while (progress_step()) {  // a peer that was quicker may ask for the next epoch's STEP already
    }
    SANSOCK_POINT("S2.looked");
    s_.attention.store(seen, std::memory_order_relaxed);
    env_.wake_own();
}

/// Does what a STEP under way needs of this end. True when that ended the epoch.
bool End::progress_step() {
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &peer = m_.peer->cold;
    memory::ColdWords &mine = m_.mine->cold;
    const bool answered = mine.frozen.load(std::memory_order_relaxed) == epoch;
    // An end that has answered goes on whatever the peer's `step` says by now: it may be of the next epoch.
    if (!answered && peer.step.load(std::memory_order_acquire) != epoch && mine.step.load(std::memory_order_relaxed) != epoch) return false;
    if (s_.required) {
        poison(static_cast<Reason>(peer.reason.load(std::memory_order_relaxed)));
        return false;
    }
    if (!freeze(epoch)) {
        poison(Reason::kProtocol);
        return false;
    }
    stop_sending(epoch);
    if (!answered) {
        uint8_t none = static_cast<uint8_t>(Reason::kNone);
        s_.reason.compare_exchange_strong(none, static_cast<uint8_t>(peer.reason.load(std::memory_order_relaxed)));
        bump_attention();
        env_.ring_peer_helper();
    }
    if (peer.frozen.load(std::memory_order_acquire) == epoch) replay(epoch);
    if (mine.stepped.load(std::memory_order_relaxed) != epoch || peer.stepped.load(std::memory_order_acquire) != epoch) return false;
    finish_epoch();
    return true;
}

/// Repeats on TCP what the peer has not consumed, in one non-blocking send as a rule; then this direction is the kernel's.
void End::replay(uint32_t epoch) {
    Guard guard(s_.out.lock);
    OutState &out = s_.out;
    memory::ColdWords &mine = m_.mine->cold;
    if (s_.epoch.load(std::memory_order_acquire) != epoch || mine.stepped.load(std::memory_order_relaxed) == epoch) return;
    const uint64_t sent = out.out.load(std::memory_order_relaxed);
    if (out.epoch_switched == epoch) {
        WindowWriter window = writer();
        if (!out.replaying) {
            const uint64_t z = std::max(m_.peer->cold.frozen_at.load(std::memory_order_relaxed), out.switched_at);
            if (z < out.consumed || z > sent) return poison(Reason::kProtocol);
            out.replayed = z;
            out.skipped += z - out.switched_at;
            out.replaying = true;
        }
        while (out.replayed < sent) {
            const Run run = window.kept(out.replayed);
            SANSOCK_POINT("S3.repeating");
            const iovec part{const_cast<uint8_t *>(run.data), run.size};
            const long taken = env_.tcp_send(&part, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (taken == -EAGAIN) {
                // The kernel is short of memory. Death in between must not look like a clean end.
                env_.tcp_guard(true);
                env_.ring_own_helper();
                return;
            }
            if (taken < 0) break;  // the connection is gone: nobody waits for the rest
            out.replayed += static_cast<uint64_t>(taken);
        }
        SANSOCK_POINT("S3.repeated");
        window.release_all();
        out.replaying = false;
        env_.tcp_guard(false);
    }
    SANSOCK_POINT("S3.released");
    if (out.fin) env_.tcp_shutdown_write();
    SANSOCK_POINT("S3.ended");
    out.path = Path::kTcp;
    out.stopped = false;
    mine.stepped.store(epoch, std::memory_order_release);
    SANSOCK_POINT("S3.stepped");
    bump_attention();
    env_.ring_peer_helper();
}

/// Both ends have stepped: the epoch is over.
void End::finish_epoch() {
    uint32_t epoch = m_.mine->cold.stepped.load(std::memory_order_relaxed);
    if (s_.epoch.compare_exchange_strong(epoch, epoch + 2, std::memory_order_acq_rel)) {
        SANSOCK_POINT("S4.over");
        s_.step_backs.fetch_add(1, std::memory_order_relaxed);
        if (s_.out.fin || m_.peer->cold.fin.load(std::memory_order_relaxed) != 0) pin();
    }
}

bool End::at_rest_on_tcp() const {
    const uint32_t epoch = s_.epoch.load(std::memory_order_acquire);
    const memory::ColdWords &mine = m_.mine->cold;
    const memory::ColdWords &peer = m_.peer->cold;
    return s_.out.path == Path::kTcp && s_.in.path == Path::kTcp && peer.switched.load(std::memory_order_acquire) != epoch &&
           mine.step.load(std::memory_order_relaxed) != epoch && peer.step.load(std::memory_order_acquire) != epoch &&
           s_.pinned.load(std::memory_order_relaxed) != 0;
}

void End::poison(Reason reason) {
    s_.reason.store(static_cast<uint8_t>(reason), std::memory_order_relaxed);
    pin();
    m_.mine->cold.state.store(static_cast<uint32_t>(memory::EndState::kPoisoned), std::memory_order_release);
    s_.tcp_ended.store(kTcpReset, std::memory_order_release);
    bump_attention();
    env_.tcp_poison();
    env_.ring_peer_helper();
    env_.wake_own();
}

}  // namespace sansock::stream
