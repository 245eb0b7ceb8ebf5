// How streams end: shutdown, close, and the peer's death.
#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {

bool End::finish_writing() {
    if (attention_pending()) progress();
    if (s_.lent.load(std::memory_order_relaxed) != 0) {  // it shall not leave TCP again behind the kernel's FIN
        StepGuard guard(*this);
        if (!has_left()) {
            pin();
            bump_attention();
        }
    }
    bool peer_covers = false;
    {
        OutGuard guard(*this);
        if (s_.out.fin) return true;
        s_.out.fin = true;
        if (looks_at_rest()) return false;
        const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
        memory::ColdWords &mine = m_.mine->cold;
        // Of bytes that went past us, or are on their way by a call that has yet to count them, only the kernel knows the number: it
        // shall tell the end, and a peer that heard ours would stop short of them.
        if (s_.out.path == Path::kProvider || !kernel_knows_more()) {
            mine.fin_at.store(s_.out.out.load(std::memory_order_relaxed), std::memory_order_relaxed);
            SANSOCK_POINT("E1.named");
            mine.fin.store(1, std::memory_order_release);
            SANSOCK_POINT("E1.fin");
            peer_covers = m_.peer->cold.ready.load(std::memory_order_acquire) == epoch;
        }
        // The repeat of a STEP sends the kernel's FIN behind itself; if it is through already, that is left to us.
        const bool through = mine.stepped.load(std::memory_order_relaxed) == epoch;
        if (SANSOCK_MUTATE("KERNEL_FIN_ON_SHUTDOWN", through, true)) env_.tcp_shutdown_write();
    }
    bump_attention();
    SANSOCK_POINT("E1.told");
    if (peer_covers) {
        env_.wake_peer_readers();
        env_.wake_own();  // with the peer's end seen, this is a hang-up
    } else if (s_.required) {
        env_.ring_peer_helper();  // it never sleeps on TCP alone
    } else if (!step(Reason::kHalfClosed, true)) {
        // The peer may sleep on its TCP socket alone: only the kernel can tell it. A STEP does so once nothing is on the provider.
        env_.tcp_shutdown_write();
    }
    return true;
}

/// Under the out lock, on TCP.
bool End::kernel_knows_more() {
    KernelCounts counts;
    return s_.kernel_writes.load(std::memory_order_acquire) != 0 ||
           (env_.tcp_counts(counts) >= 0 && counts.sent != s_.out.out.load(std::memory_order_relaxed) - s_.out.skipped);
}

bool End::both_finished() const {
    const bool gone = s_.tcp_ended.load(std::memory_order_acquire) == kTcpReset;
    return gone || error_of_loss() != 0 || (s_.out.fin && (peer_finished() || s_.tcp_ended.load(std::memory_order_acquire) != kTcpOpen));
}

void End::finish_reading() {
    {
        InGuard guard(*this);
        s_.in.rd_shut = true;
    }
    env_.wake_own();
}

/// Bytes of the peer that this end was never given, wherever they are: close() resets for them, as the kernel does for its own.
bool End::unread_by_us() {
    if (unread_in_window()) return true;
    InGuard guard(*this);
    return s_.in.path == Path::kTcp && env_.tcp_unread() > 0;
}

bool End::unread_in_window() {
    InGuard guard(*this);
    const memory::ColdWords &peer = m_.peer->cold;
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const bool in_window = peer.switched.load(std::memory_order_acquire) == epoch && peer.stepped.load(std::memory_order_acquire) < epoch;
    return in_window && path().hot.tail.load(std::memory_order_acquire) > s_.in.in.load(std::memory_order_relaxed);
}

/// Somebody has written to TCP while our direction is on the provider: the peer would take it for the stream's end.
bool End::foreign_bytes_in_between() {
    OutGuard guard(*this);
    return s_.out.path == Path::kProvider && !s_.out.replaying && foreign_bytes_written();
}

/// At rest on TCP, where other programs may hold the socket as well: what is unread is theirs, and what this close() means to the peer the
/// kernel knows, who alone knows of them.
bool End::leave_to_kernel() {
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const bool lent = s_.lent.load(std::memory_order_relaxed) != 0;
    if (!at_rest_on_tcp() && !(lent && is_untouched(epoch))) return false;
    OutGuard guard(*this);
    if (has_left()) return false;
    pin();
    bump_attention();
    if (s_.out.fin) env_.tcp_shutdown_write();  // a STEP under way would have done it
    return true;
}

End::Close End::close(bool abort) {
    if (attention_pending()) progress();
    memory::ColdWords &mine = m_.mine->cold;
    if (leave_to_kernel()) return Close::kNow;
    const bool reset = abort || unread_by_us() || SANSOCK_MUTATE("NO_COUNT_AT_CLOSE", foreign_bytes_in_between(), false);
    SANSOCK_POINT("E2.looked");
    if (reset) {
        auto open = static_cast<uint32_t>(memory::EndState::kOpen);  // one that the helper is just resetting stays so: it takes no STEP
        mine.state.compare_exchange_strong(open, static_cast<uint32_t>(memory::EndState::kReset), std::memory_order_release);
        bump_attention();
        env_.wake_peer_readers();
        return Close::kReset;
    }
    bool kept;
    {
        OutGuard guard(*this);
        kept = SANSOCK_MUTATE("CLOSE_FORGETS_KEPT", unconsumed() > 0 || s_.out.replaying, false);
        if (!kept) unguard();
        if (!s_.out.fin && s_.out.path == Path::kProvider) {
            s_.out.fin = true;
            mine.fin_at.store(s_.out.out.load(std::memory_order_relaxed), std::memory_order_relaxed);
            SANSOCK_POINT("E3.named");
            mine.fin.store(1, std::memory_order_release);
        }
    }
    SANSOCK_POINT("E3.fin");
    // What a reset end has kept nobody has: its peer must not take it for one that has gone back, and read TCP past X.
    auto open = static_cast<uint32_t>(memory::EndState::kOpen);
    mine.state.compare_exchange_strong(open, static_cast<uint32_t>(memory::EndState::kClosed), std::memory_order_release);
    SANSOCK_POINT("E4.closed");
    bump_attention();
    env_.wake_peer_readers();
    env_.wake_peer_writers();
    return kept ? Close::kLinger : Close::kNow;
}

void End::leave_memory() {
    StepGuard step(*this);
    {
        InGuard guard(*this);
        s_.in.path = Path::kLeft;
    }
    OutGuard guard(*this);
    // What is kept goes with us where the peer is on another host, and the kernel resets for it (B5).
    const auto last = m_.far && unconsumed() > 0 ? memory::EndState::kReset : memory::EndState::kLeft;
    s_.out.path = Path::kLeft;
    // A FIN may stand behind bytes that the peer does not read for long: this word tells it that nobody is left to answer.
    auto &state = m_.mine->cold.state;
    const auto ours = static_cast<memory::EndState>(state.load(std::memory_order_relaxed));
    if ((ours == memory::EndState::kOpen || ours == memory::EndState::kClosed) && SANSOCK_MUTATE("CLOSE_UNSEEN", true, false)) {
        state.store(static_cast<uint32_t>(last), std::memory_order_release);
    }
    SANSOCK_POINT("E4.left");
    bump_attention();
    env_.ring_peer_helper();
    writer().leave();
    m_.arena->end_slot(m_.arena->index_of(*m_.mine), memory::Arena::kOurEnd);
}

/// The peer may have become ready for this epoch before it heard that we stay on TCP, and then takes a STEP to be at rest itself, for which
/// it needs an answer. Nobody will be here to give one, so it is left behind: all that the words could say is known.
bool End::rests_for_good() {
    StepGuard guard(*this);
    if (!at_rest_on_tcp() || s_.error_owed.load(std::memory_order_relaxed) != 0) return false;
    if (s_.pinned.load(std::memory_order_relaxed) == 0) return true;  // lent: we are here to answer, and may be ready again
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    memory::ColdWords &mine = m_.mine->cold;
    if (SANSOCK_MUTATE("LEAVE_UNSEEN", false, true)) return true;
    if (mine.stepped.load(std::memory_order_relaxed) == epoch) return true;  // said already
    mine.frozen_at.store(s_.in.in.load(std::memory_order_relaxed), std::memory_order_relaxed);
    SANSOCK_POINT("S5.named");
    mine.frozen.store(epoch, std::memory_order_release);
    SANSOCK_POINT("S5.frozen");
    mine.stepped.store(epoch, std::memory_order_release);
    SANSOCK_POINT("S5.stepped");
    bump_attention();
    env_.ring_peer_helper();
    return true;
}

bool End::may_leave() {
    progress();
    const bool kept = unread_in_window() || never_consumed() > 0 || foreign_bytes_in_between();
    if (peer_is_dead() && !kept && s_.error_owed.load(std::memory_order_relaxed) == 0) return true;
    if (rests_for_good()) return true;
    poison(static_cast<Reason>(s_.reason.load(std::memory_order_relaxed)));
    return false;
}

void End::tcp_ended(TcpEnd how) {
    note_end(how);
    if (SANSOCK_MUTATE("END_NOT_FORWARDED", true, false)) env_.wake_own();
}

void End::note_end(TcpEnd how) {
    uint32_t known = s_.tcp_ended.load(std::memory_order_relaxed);
    while (known < how && !s_.tcp_ended.compare_exchange_weak(known, how, std::memory_order_acq_rel)) {
    }
}

}  // namespace sansock::stream
