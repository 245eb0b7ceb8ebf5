// How streams end: shutdown, close, and the peer's death.
#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {

bool End::finish_writing() {
    if (attention_pending()) progress();
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    bool peer_covers = false;
    {
        Guard guard(s_.out.lock);
        if (s_.out.fin) return true;
        if (at_rest_on_tcp()) {
            s_.out.fin = true;
            return false;
        }
        s_.out.fin = true;
        memory::ColdWords &mine = m_.mine->cold;
        mine.fin_at.store(s_.out.out.load(std::memory_order_relaxed), std::memory_order_relaxed);
        SANSOCK_POINT("E1.named");
        mine.fin.store(1, std::memory_order_release);
        SANSOCK_POINT("E1.fin");
        peer_covers = m_.peer->cold.ready.load(std::memory_order_acquire) == epoch;
    }
    bump_attention();
    SANSOCK_POINT("E1.told");
    if (peer_covers) {
        env_.wake_peer_readers();
        env_.wake_own();  // with the peer's end seen, this is a hang-up
    } else if (s_.required) {
        env_.ring_peer_helper();  // it never sleeps on TCP alone
    } else {
        // The peer may sleep on its TCP socket alone: only the kernel can tell it, and only once nothing is on the provider.
        step(Reason::kHalfClosed, true);
    }
    return true;
}

bool End::both_finished() const {
    const bool gone = s_.tcp_ended.load(std::memory_order_acquire) == kTcpReset;
    return gone || (s_.out.fin && (peer_finished() || s_.tcp_ended.load(std::memory_order_acquire) != kTcpOpen));
}

void End::finish_reading() {
    {
        Guard guard(s_.in.lock);
        s_.in.rd_shut = true;
    }
    env_.wake_own();
}

End::Close End::close(bool abort) {
    if (attention_pending()) progress();
    memory::ColdWords &mine = m_.mine->cold;
    const bool unread_input = unread() > 0 || (s_.in.path == Path::kTcp && env_.tcp_unread() > 0);
    SANSOCK_POINT("E2.looked");
    if (unread_input || abort) {
        mine.state.store(static_cast<uint32_t>(memory::EndState::kReset), std::memory_order_release);
        bump_attention();
        env_.wake_peer_readers();
        return Close::kReset;
    }
    bool kept;
    {
        Guard guard(s_.out.lock);
        kept = unconsumed() > 0 || s_.out.replaying;
        if (!s_.out.fin && s_.out.path == Path::kProvider) {
            s_.out.fin = true;
            mine.fin_at.store(s_.out.out.load(std::memory_order_relaxed), std::memory_order_relaxed);
            SANSOCK_POINT("E3.named");
            mine.fin.store(1, std::memory_order_release);
        }
    }
    SANSOCK_POINT("E3.fin");
    mine.state.store(static_cast<uint32_t>(memory::EndState::kClosed), std::memory_order_release);
    SANSOCK_POINT("E4.closed");
    bump_attention();
    env_.wake_peer_readers();
    env_.wake_peer_writers();
    return kept ? Close::kLinger : Close::kNow;
}

void End::tcp_ended(TcpEnd how) {
    uint32_t known = s_.tcp_ended.load(std::memory_order_relaxed);
    while (known < how && !s_.tcp_ended.compare_exchange_weak(known, how, std::memory_order_acq_rel)) {
    }
    env_.wake_own();
}

}  // namespace sansock::stream
