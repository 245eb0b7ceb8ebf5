// STEP: both directions back to TCP, at a byte that the receiver names.
//
// Several threads, the helper among them, may act on the same word of the peer at once. They do so one after another, under the step
// lock: each part of a step is done once, in its order, and no thread acts for an epoch that is over. The peer may be an epoch ahead
// (it has seen our `stepped`, we not yet its), so its words are compared with "at least".
#include <sys/socket.h>

#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {

/// Names Z, the byte from which the peer repeats on TCP. From here on this end reads TCP only. False: the connection is poisoned.
bool End::freeze(uint32_t epoch) {
    InGuard guard(*this, SANSOCK_MUTATE("FREEZE_WITHOUT_LOCK", s_.in.lock, s_.park_lock));
    memory::ColdWords &mine = m_.mine->cold;
    if (mine.frozen.load(std::memory_order_relaxed) == epoch) return true;
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
            poison(Reason::kProtocol);
            return false;
        }
        s_.in.skipped = s_.in.skipped_before + (z - x);
    }
    if (s_.in.path == Path::kProvider &&
        SANSOCK_MUTATE("DELIVER_FOREIGN", env_.tcp_unread() > 0, false)) {  // nobody may have written there since X
        poison(Reason::kForeignBytes);
        return false;
    }
    mine.frozen_at.store(z, std::memory_order_relaxed);
    SANSOCK_POINT("S1.named");
    mine.frozen.store(epoch, std::memory_order_release);
    SANSOCK_POINT("S1.frozen");
    s_.in.path = Path::kTcp;
    return true;
}

/// Nothing goes to the window from here on; `step` says so, and that nobody else has written to TCP meanwhile. False: poisoned.
bool End::stop_sending(uint32_t epoch) {
    OutGuard guard(*this, SANSOCK_MUTATE("STOP_WITHOUT_LOCK", s_.out.lock, s_.park_lock));
    memory::ColdWords &mine = m_.mine->cold;
    if (mine.step.load(std::memory_order_relaxed) == epoch) return true;
    if (s_.out.path == Path::kProvider && foreign_bytes_written()) {
        poison(Reason::kForeignBytes);
        return false;
    }
    s_.out.stopped = true;
    SANSOCK_POINT("S1.stopped");
    mine.step.store(epoch, std::memory_order_release);
    SANSOCK_POINT("S1.asked");
    return true;
}

bool End::step(Reason reason, bool for_good) {
    bool idle;
    {
        StepGuard guard(*this);
        if (has_left()) return true;
        const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
        // A reset says all: a step published after it would send the peer to TCP, for bytes that may be an intruder's.
        if (SANSOCK_MUTATE("STEP_AFTER_RESET", is_poisoned(), false)) return true;
        if (for_good) pin();
        const bool reset = learn_of_reset();
        memory::ColdWords &mine = m_.mine->cold;
        bool on_tcp;
        {
            OutGuard out(*this);  // whoever was about to switch has done so, or will find the pin
            on_tcp = s_.out.path == Path::kTcp;
        }
        // A peer that we were never ready for cannot have switched: there is nothing to go back from. But one that is ready itself, and
        // whom we do not leave for good, would ask for an answer at any time, perhaps when nobody is here to give it.
        const bool peer_asks =
            s_.pinned.load(std::memory_order_relaxed) == 0 && m_.peer->cold.ready.load(std::memory_order_acquire) == epoch;
        idle = on_tcp && stays_on_tcp() && mine.ready.load(std::memory_order_relaxed) != epoch && !peer_asks;
        const bool begins = !idle && mine.step.load(std::memory_order_relaxed) != epoch;
        if ((begins && !reset) || !knows_reason())
            s_.reason.store(static_cast<uint8_t>(reason), std::memory_order_relaxed);  // the first one stands
        if (begins) {
            if (s_.required) {  // TCP must not carry it: there is no way back
                poison(reason);
                return true;
            }
            mine.reason.store(static_cast<uint32_t>(reason), std::memory_order_relaxed);
            if (!freeze(epoch) || !stop_sending(epoch)) return true;
            bump_attention();
            SANSOCK_POINT("S1.told");
            if (SANSOCK_MUTATE("NO_STEP_BELL", true, false)) env_.ring_peer_helper();
        }
        step_on();
    }
    env_.wake_own();
    return !idle;
}

void End::progress() {
    {
        StepGuard guard(*this);
        if (has_left()) return;
        const uint32_t seen = m_.peer->hot.attention.load(std::memory_order_acquire);
        if (m_.peer->cold.pinned.load(std::memory_order_acquire) != 0) s_.pinned.store(1, std::memory_order_relaxed);
        if (peer_has_left()) note_end(kTcpFin);
        const auto peer_state = static_cast<memory::EndState>(m_.peer->cold.state.load(std::memory_order_acquire));
        learn_of_reset();
        if (peer_state == memory::EndState::kClosed || peer_state == memory::EndState::kLeft)
            s_.peer_closed.store(1, std::memory_order_release);
        step_on();
        SANSOCK_POINT("S2.looked");
        s_.attention.store(seen, std::memory_order_relaxed);
    }
    env_.wake_own();
}

/// Under the step lock: everything that can be done for a step that either end has asked for.
void End::step_on() {
    const memory::ColdWords &peer = m_.peer->cold;
    memory::ColdWords &mine = m_.mine->cold;
    for (;;) {
        const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
        const bool wanted = s_.step_wanted.load(std::memory_order_relaxed) == epoch && mine.step.load(std::memory_order_relaxed) != epoch;
        const uint32_t asked = peer.step.load(std::memory_order_acquire);
        if (asked < epoch && mine.step.load(std::memory_order_relaxed) != epoch && !wanted) return;
        if (SANSOCK_MUTATE("STEP_AFTER_RESET", is_poisoned(), false)) return;
        // Nobody can be further ahead than the epoch that follows: else every epoch of a number at random would be gone through here.
        if (asked > epoch + 2) return poison(Reason::kProtocol);
        if (s_.required) return poison(static_cast<Reason>(peer.reason.load(std::memory_order_relaxed)));
        const bool answered = mine.step.load(std::memory_order_relaxed) == epoch;
        if (wanted && asked < epoch) mine.reason.store(s_.reason.load(std::memory_order_relaxed), std::memory_order_relaxed);
        if (!SANSOCK_MUTATE("STEP_ONE_DIRECTION", freeze(epoch), true) || !stop_sending(epoch)) return;
        if (!answered) {
            if (!knows_reason()) {
                s_.reason.store(static_cast<uint8_t>(peer.reason.load(std::memory_order_relaxed)), std::memory_order_relaxed);
            }
            bump_attention();
            env_.ring_peer_helper();
        }
        const bool alone = peer_never_came(epoch) || (m_.far && s_.deserted.load(std::memory_order_acquire) != 0 && nobody_switched(epoch));
        if (peer_has_frozen(epoch) || alone || (s_.lent.load(std::memory_order_relaxed) != 0 && is_untouched(epoch))) replay(epoch);
        if (mine.stepped.load(std::memory_order_relaxed) != epoch ||
            SANSOCK_MUTATE("EPOCH_EARLY", !peer_has_stepped(epoch) && !alone, false))
            return miss_answer(epoch);
        finish_epoch(epoch);
    }
}

/// The peer's FIN may stand behind bytes that nobody reads here, and until it is seen whoever wants to send would wait for the answer. No
/// other program has its socket: one that lends it out waits for the answer first, if it has been part of the epoch.
void End::miss_answer(uint32_t epoch) {
    if (s_.deserted.load(std::memory_order_acquire) != 0 && !peer_has_stepped(epoch)) note_end(kTcpFin);
}

/// The kernel has carried bytes of this direction that no call of ours wrote.
bool End::foreign_bytes_written() {
    KernelCounts counts;
    return SANSOCK_MUTATE("NO_COUNT_BEFORE_REPLAY", true, false) && s_.tcp_ended.load(std::memory_order_relaxed) == kTcpOpen &&
           env_.tcp_counts(counts) >= 0 && counts.sent != s_.out.switched_at - s_.out.skipped;
}

/// Repeats on TCP what the peer has not consumed, in one non-blocking send as a rule; then this direction is the kernel's.
void End::replay(uint32_t epoch) {
    OutGuard guard(*this, SANSOCK_MUTATE("STOP_WITHOUT_LOCK", s_.out.lock, s_.park_lock));
    OutState &out = s_.out;
    memory::ColdWords &mine = m_.mine->cold;
    if (mine.stepped.load(std::memory_order_relaxed) == epoch) {
        if (out.stopped) conclude_replay();  // whoever was at it has died just before the end
        return;
    }
    const uint64_t sent = out.out.load(std::memory_order_relaxed);
    const bool switched = out.epoch_switched == epoch;
    if (SANSOCK_MUTATE("STEPPED_BEFORE_REPLAY", false, true)) mine.stepped.store(epoch, std::memory_order_release);
    if (switched) {
        WindowWriter window = writer();
        if (!out.replaying) {
            const memory::ColdWords &peer = m_.peer->cold;
            const bool named = peer.frozen.load(std::memory_order_acquire) == epoch;
            const uint64_t at = named ? peer.frozen_at.load(std::memory_order_relaxed) : consumed_by_peer();
            const uint64_t z = SANSOCK_MUTATE("REPEAT_BELOW_X", std::max<uint64_t>(at, out.switched_at), at);
            if (z < out.consumed || z > sent) return poison(Reason::kProtocol);
            out.replayed = z;
            out.skipped = out.skipped_before + (z - out.switched_at);
            out.replaying = true;
        }
        while (out.replayed < sent) {
            const Run run = window.kept(out.replayed);
            SANSOCK_POINT("S3.repeating");
            const iovec part{const_cast<uint8_t *>(run.data), run.size};
            const long taken = env_.tcp_send(&part, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (taken == -EAGAIN && SANSOCK_MUTATE("REPLAY_SHORT", true, false)) {
                // The kernel is short of memory. Death in between must not look like a clean end. The helper goes on at POLLOUT.
                if (!out.guarded) env_.tcp_guard(true);
                out.guarded = true;
                return;
            }
            if (taken < 0) {  // the connection is gone: nobody waits for the rest
                take_note(taken);
                break;
            }
            out.replayed += static_cast<uint64_t>(taken);
        }
        SANSOCK_POINT("S3.repeated");
    }
    if (SANSOCK_MUTATE("GUARD_STAYS", true, false)) unguard();
    if (out.fin && SANSOCK_MUTATE("FIN_BEFORE_STEPPED", false, true)) env_.tcp_shutdown_write();
    // In this order: a peer that reads a FIN and finds no `stepped` takes it for our death, and goes on in the window.
    mine.stepped.store(epoch, std::memory_order_release);
    SANSOCK_POINT("S3.stepped");
    conclude_replay();
}

/// Under the out lock: nothing that is kept here would be missed.
void End::unguard() {
    if (!s_.out.guarded) return;
    env_.tcp_guard(false);
    s_.out.guarded = false;
}

/// From here on the output is the kernel's.
void End::conclude_replay() {
    OutState &out = s_.out;
    if (out.fin && SANSOCK_MUTATE("FIN_FORGOTTEN", true, false)) env_.tcp_shutdown_write();
    SANSOCK_POINT("S3.ended");
    if (out.path == Path::kProvider) writer().release_all();
    out.replaying = false;
    out.path = Path::kTcp;
    out.stopped = false;
    bump_attention();
    SANSOCK_POINT("S3.told");
    env_.ring_peer_helper();
}

/// Both ends have stepped: the epoch is over.
void End::finish_epoch(uint32_t epoch) {
    s_.out.skipped_before = s_.out.skipped;
    s_.in.skipped_before = s_.in.skipped;
    s_.epoch.store(epoch + 2, std::memory_order_release);
    SANSOCK_POINT("S4.over");
    s_.step_backs.fetch_add(1, std::memory_order_relaxed);
    if (s_.out.fin || m_.peer->cold.fin.load(std::memory_order_relaxed) != 0) pin();
    if (m_.path != m_.peer) env_.ring_own_helper();  // the endpoint of this epoch has had its time
}

/// Neither direction can have been on the provider in this epoch: a peer for which we were not ready has not switched, and we have not.
/// There is nothing to repeat then, from whatever byte the peer asks for it.
bool End::is_untouched(uint32_t epoch) const {
    return m_.mine->cold.ready.load(std::memory_order_acquire) != epoch && s_.out.epoch_switched != epoch && s_.out.path == Path::kTcp &&
           s_.in.path == Path::kTcp;
}

/// The same of a peer that will not come any more.
bool End::peer_never_came(uint32_t epoch) const {
    const memory::ColdWords &peer = m_.peer->cold;
    return s_.deserted.load(std::memory_order_acquire) != 0 && peer.ready.load(std::memory_order_acquire) != epoch &&
           peer.switched.load(std::memory_order_acquire) != epoch && s_.out.epoch_switched != epoch;
}

void End::tell_lent() {
    StepGuard guard(*this);
    show_lent();
}

/// Under the step lock.
void End::show_lent() {
    if (has_left()) return;
    m_.mine->cold.resting.store(s_.lent.load(std::memory_order_seq_cst) != 0, std::memory_order_release);
    full_fence();  // before the look at whether the peer is ready, as it becomes ready and then looks at this word
    bump_attention();
}

bool End::take_back(uint32_t lent, bool for_good) {
    StepGuard guard(*this);
    if (for_good && !has_left()) pin();
    if (!s_.lent.compare_exchange_strong(lent, lent & kDrainBit)) return false;
    show_lent();
    return true;
}

void End::drain() {
    {
        StepGuard guard(*this);
        if ((s_.lent.fetch_or(kDrainBit) & kDrainBit) == 0) show_lent();
    }
    step(Reason::kDrained, false);  // whoever set the bit may have died before this
}

void End::undrain() {
    StepGuard guard(*this);
    if ((s_.lent.fetch_and(~kDrainBit) & kDrainBit) != 0) show_lent();
}

void End::leave_lent() {
    {
        StepGuard guard(*this);
        if (has_left()) return;
        pin();
    }
    progress();
    rests_for_good();
}

void End::peer_deserts() {
    {
        StepGuard guard(*this);
        if (has_left()) return;
        s_.deserted.store(1, std::memory_order_release);
        const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
        if (peer_never_came(epoch) && m_.mine->cold.ready.load(std::memory_order_relaxed) == epoch)
            s_.step_wanted.store(epoch, std::memory_order_relaxed);
        step_on();
    }
    env_.wake_own();
}

void End::leave() {
    StepGuard guard(*this);
    auto &state = m_.mine->cold.state;
    const auto ours = static_cast<memory::EndState>(state.load(std::memory_order_relaxed));
    if (has_left() || (ours != memory::EndState::kOpen && ours != memory::EndState::kClosed)) return;
    state.store(static_cast<uint32_t>(memory::EndState::kLeft), std::memory_order_release);
    bump_attention();
}

bool End::peer_falls_silent(bool all_told) {
    {
        StepGuard guard(*this);
        if (has_left() || is_gone()) return true;
        s_.deserted.store(1, std::memory_order_release);
        const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
        pin();
        // Who was ready may have been switched to, by a word that was lost; and what moved lacks an answer.
        if (SANSOCK_MUTATE("CUT_GOES_ON", !is_untouched(epoch), false) && (!all_told || !nobody_switched(epoch))) {
            poison(Reason::kChannelLost);
            return false;
        }
        if (m_.mine->cold.ready.load(std::memory_order_relaxed) == epoch) s_.step_wanted.store(epoch, std::memory_order_relaxed);
        step_on();
    }
    env_.wake_own();
    return true;
}

bool End::at_rest_on_tcp() {
    if (!looks_at_rest()) return false;
    // A writer may have been about to switch before it could see the pin; the next one sees it.
    { OutGuard guard(*this); }
    return looks_at_rest();
}

bool End::looks_at_rest() const {
    const uint32_t epoch = s_.epoch.load(std::memory_order_acquire);
    const memory::ColdWords &mine = m_.mine->cold;
    // Who was ready in this epoch may find bytes in the window until a STEP has ended it.
    const bool over = mine.ready.load(std::memory_order_acquire) != epoch && mine.step.load(std::memory_order_relaxed) != epoch &&
                      m_.peer->cold.step.load(std::memory_order_acquire) < epoch;
    // Nor needs who never was part of this epoch the peer's answer: what a STEP says of it is said.
    const bool said = mine.stepped.load(std::memory_order_acquire) == epoch && is_untouched(epoch);
    return s_.out.path == Path::kTcp && s_.in.path == Path::kTcp && stays_on_tcp() &&
           (over || said || SANSOCK_MUTATE("LEAVE_EARLY", false, mine.stepped.load(std::memory_order_relaxed) == epoch));
}

bool End::may_return() const {
    const uint32_t epoch = s_.epoch.load(std::memory_order_acquire);
    const memory::ColdWords &mine = m_.mine->cold, &peer = m_.peer->cold;
    const bool between = s_.out.path == Path::kTcp && s_.in.path == Path::kTcp && mine.ready.load(std::memory_order_relaxed) != epoch &&
                         mine.step.load(std::memory_order_relaxed) != epoch && peer.step.load(std::memory_order_acquire) < epoch;
    return between && !stays_on_tcp() && !peer_rests() && peer.pinned.load(std::memory_order_acquire) == 0 && !is_gone() &&
           s_.deserted.load(std::memory_order_acquire) == 0 && mine.state.load(std::memory_order_relaxed) == 0 &&
           peer.state.load(std::memory_order_acquire) == 0;
}

bool End::died_on_provider() const {
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &peer = m_.peer->cold;
    return SANSOCK_MUTATE("REREAD_AFTER_STEPPED", !peer_has_stepped(epoch), true) &&
           (s_.out.epoch_switched == epoch || peer.switched.load(std::memory_order_acquire) == epoch);
}

bool End::peer_is_dead() const {
    const uint32_t ended = s_.tcp_ended.load(std::memory_order_acquire);
    return ended == kTcpReset || peer_has_left() || (ended == kTcpFin && !peer_said_stepped(s_.epoch.load(std::memory_order_relaxed)));
}

bool End::knows_reason() const {
    const auto known = static_cast<Reason>(s_.reason.load(std::memory_order_relaxed));
    return known != Reason::kNone && known != Reason::kNotYet;
}

/// Whether the peer has reset the connection; and why.
bool End::learn_of_reset() {
    const memory::ColdWords &peer = m_.peer->cold;
    if (peer.state.load(std::memory_order_acquire) != static_cast<uint32_t>(memory::EndState::kPoisoned)) return false;
    if (!knows_reason()) s_.reason.store(static_cast<uint8_t>(peer.reason.load(std::memory_order_relaxed)), std::memory_order_relaxed);
    return true;
}

void End::look_for_foreign_bytes() {
    InGuard guard(*this);
    if (s_.in.path != Path::kProvider || is_gone() ||
        m_.mine->cold.frozen.load(std::memory_order_relaxed) == s_.epoch.load(std::memory_order_relaxed))
        return;
    if (env_.tcp_unread() > 0) poison(Reason::kForeignBytes);
}

void End::poison(Reason reason) {
    if (has_left()) return;
    m_.mine->cold.reason.store(static_cast<uint32_t>(reason), std::memory_order_relaxed);
    s_.reason.store(static_cast<uint8_t>(reason), std::memory_order_relaxed);
    pin();
    m_.mine->cold.state.store(static_cast<uint32_t>(memory::EndState::kPoisoned), std::memory_order_release);
    env_.tcp_poison();  // first, or a writer that finds the connection ended would still get bytes through
    s_.tcp_ended.store(kTcpReset, std::memory_order_release);
    bump_attention();
    env_.ring_peer_helper();
    env_.wake_own();
}

}  // namespace sansock::stream
