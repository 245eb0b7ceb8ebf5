// Those who ask for STEPs, as a drain, a reload or a failing provider do.
#include <poll.h>

#include "base/point.hpp"
#include "socket.hpp"

namespace sansock::simulation {
namespace {

constexpr uint64_t kIdleLookNs = 1'000'000;
constexpr uint64_t kGuardedNsMax = 4'000'000'000;  ///< After so much silence no guard is on.

}  // namespace

/// Somebody in the victim's process who asks for STEPs, as a drain, a reload or a failing provider do.
void World::run_operator() {
    Process &p = *process[scenario.victim];
    for (int i = 0; i < scenario.drains; ++i) {
        // The first one must have begun before the first bytes are through, or the run would wait for it; the last may meet the fault.
        const uint64_t at = scheduler.random.below((i + 1 == scenario.drains && i > 0 ? 3 : 2) * kBytesMin);
        while ((process[0]->got + process[1]->got < at && !drains_now_) || !(p.end->on_provider(true) || p.end->on_provider(false))) {
            if (p.finished) return;
            scheduler.sleep({&next_drain_}, kForever);
        }
        drains_now_ = false;
        stream::Guard guard(p.fd_lock);
        if (!p.mapped || p.phase != Phase::kAttached) return;
        drain_or_lend(p);
    }
}

/// Under the descriptor's lock, which is let go of while the stream is to stay on TCP.
void World::drain_or_lend(Process &p) {
    cover(p, Event::kDrain);
    const bool lends = scenario.lends && !scheduler.random.chance(40);
    if (!lends && !scenario.undrains) {
        scheduler.trace("steps back");
        p.end->step(stream::Reason::kDrained, scenario.two_hosts && scenario.far.return_ns == 0);
        return;
    }
    if (!lends) {
        // As framework/socket/drain.cpp, which may come to it again and again.
        scheduler.trace("drains");
        do {
            p.end->drain();
            p.fd_lock.unlock();
            SANSOCK_POINT("call");
            scheduler.sleep({}, scheduler.now_ns() + 1 + scheduler.random.skewed(300'000));
            p.fd_lock.lock();
            if (!p.mapped || p.phase != Phase::kAttached) return;
        } while (scheduler.random.chance(30));
        scheduler.trace("undrains");
        p.end->undrain();
        if (p.far != nullptr) p.far->return_soon();
        return;
    }
    // As lend() in framework/socket/io.cpp, whose caller may be killed in the wait for the peer, or not wait at all.
    scheduler.trace("lends");
    p.state().lent.fetch_add(1);
    p.end->tell_lent();
    p.end->step(stream::Reason::kExec, false);
    p.fd_lock.unlock();
    SANSOCK_POINT("call");
    scheduler.sleep({}, scheduler.now_ns() + 1 + scheduler.random.skewed(300'000));
    p.fd_lock.lock();
    if (!p.mapped || p.phase != Phase::kAttached) return;
    // As take_back() in framework/socket/lent.cpp
    scheduler.trace("takes back");
    p.end->take_back(p.state().lent.load(), p.state().out.fin || (tcp.poll(p.side) & (POLLRDHUP | POLLHUP)) != 0);
}

/// Of two hosts, at either side or at both; again where the connection returns.
void World::drain_far(int side) {
    Process &p = *process[side];
    uint64_t at = scenario.far.drains_at[side];
    for (int i = 0; i < (scenario.far.return_ns == 0 ? 1 : scenario.drains); ++i, at += 1 + scheduler.random.below(kBytesMin)) {
        while (process[0]->got + process[1]->got < at || !(p.end->on_provider(true) || p.end->on_provider(false))) {
            if (p.finished) return;
            scheduler.sleep({&next_drain_}, kForever);
        }
        stream::Guard guard(p.fd_lock);
        if (!p.mapped || p.phase != Phase::kAttached) return;
        drain_or_lend(p);
    }
}

/// A connection that nobody uses any more, for so long that its guards are off.
void World::run_idle_killer() {
    const auto all_read = [this] { return process[0]->got == process[1]->told && process[1]->got == process[0]->told; };
    while (!is_idle() || !all_read()) {
        if (process[0]->finished || process[1]->finished) return;
        scheduler.sleep({&next_drain_}, scheduler.now_ns() + kIdleLookNs);
    }
    const uint64_t silence = scheduler.random.one_of<uint64_t>({1'000'000, 100'000'000, kGuardedNsMax});
    scheduler.sleep({}, scheduler.now_ns() + silence);
    idle_kill(silence >= kGuardedNsMax);
}

/// One STEP more, with the fault there.
void World::run_late_operator() {
    Process &p = *process[scenario.late_drain];
    while (!fault_done) {
        if (p.finished) return;
        scheduler.sleep({&next_drain_}, kForever);
    }
    if (scheduler.random.chance(50)) scheduler.sleep({}, scheduler.now_ns() + scheduler.random.skewed(1'000'000));
    stream::Guard guard(p.fd_lock);
    if (!p.mapped || p.phase != Phase::kAttached) return;
    drain_or_lend(p);
}

}  // namespace sansock::simulation
