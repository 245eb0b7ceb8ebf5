// What a process leaves half done that is killed while it holds a lock which its siblings share. Each repair runs under that lock.
//
// Between any two stores the words that the peer sees are consistent, for the peer may look there. What is ours alone is derived from
// them again, or from what the kernel counts; and nothing is given back that somebody may still use.
#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::stream {

void End::repair_output() {
    OutState &out = s_.out;
    memory::ColdWords &mine = m_.mine->cold;
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    if (mine.stepped.load(std::memory_order_relaxed) == epoch) {
        if (out.stopped) conclude_replay();
        return;
    }
    if (out.path == Path::kTcp) {
        if (out.epoch_switched == epoch) out.epoch_switched = 0;  // it was about to switch, and has told nobody
        return;
    }
    writer().repair();
    if (mine.switched.load(std::memory_order_relaxed) != epoch) {  // it had switched, and not yet said so
        mine.switched_at.store(out.switched_at, std::memory_order_relaxed);
        mine.switched.store(epoch, std::memory_order_release);
    }
    KernelCounts counts;
    if (out.replaying && env_.tcp_counts(counts) >= 0) {  // how far the repeat has got, the kernel knows
        out.replayed = std::min(std::max(counts.sent + out.skipped, out.replayed), out.out.load(std::memory_order_relaxed));
    }
    bump_attention();
    env_.ring_peer_helper();
    env_.wake_peer_readers();
}

void End::repair_input() {
    InState &in = s_.in;
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    // Z was named: what lies beyond it will come by TCP, unless there is nobody to repeat it.
    if (in.path == Path::kProvider && m_.mine->cold.frozen.load(std::memory_order_relaxed) == epoch && !is_gone()) in.path = Path::kTcp;
    m_.mine->hot.consumed.store(in.in.load(std::memory_order_relaxed), std::memory_order_release);
    env_.wake_peer_writers();
}

/// The words are stored one by one, and whoever goes on finds where. Only that the peer was told is not written down anywhere.
void End::repair_step() {
    const uint32_t epoch = s_.epoch.load(std::memory_order_relaxed);
    const memory::ColdWords &mine = m_.mine->cold;
    if (mine.frozen.load(std::memory_order_relaxed) == epoch && mine.step.load(std::memory_order_relaxed) != epoch) {
        s_.step_wanted.store(epoch, std::memory_order_relaxed);
    }
    show_lent();
    env_.ring_peer_helper();
}

}  // namespace sansock::stream
