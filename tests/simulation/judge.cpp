// What is asked of a run once nothing moves any more; application.cpp asks the rest, call by call.
#include <fmt/format.h>

#include "world.hpp"

namespace sansock::simulation {

/// Why an application that is blocked should not be; empty when a TCP application would wait here too.
std::string World::blocked_for_nothing(const Process &p) const {
    if (!p.alive || p.stopped || p.mute || p.finished) return {};
    const Process &peer = p.peer();
    const bool gone = !peer.alive || peer.phase == Phase::kClosed;
    const uint32_t epoch = p.state().epoch.load();
    const bool stepping = p.slot().cold.step.load() == epoch || p.end->memory().peer->cold.step.load() == epoch;
    const bool tcp_stuck = path_stopped && (p.state().in.path == stream::Path::kTcp || p.state().out.path == stream::Path::kTcp);
    if (tcp_stuck || (path_stopped && gone)) return {};
    if (peer.stopped && stepping) return {};          // only the peer can answer a STEP
    if (peer.stopped && p.far != nullptr) return {};  // or post receives, and read
    if (p.blocked_reading && !p.read_to_end) {
        if (peer.told > p.got) return fmt::format("side {} waits for input while {} bytes lie unread", p.side, peer.told - p.got);
        if (gone) return fmt::format("side {} waits for input of a peer that is gone", p.side);
        const bool ended = peer.wrote_all && scenario.side[peer.side].ending == Ending::kShutdown && !peer.stopped && !peer.mute;
        if (ended) return fmt::format("side {} waits for input although the peer's stream has ended", p.side);
    }
    if (p.blocked_writing && !p.blocked_reading) {
        // A FIN that stands behind bytes nobody reads tells nobody.
        if (gone && tcp.unread(p.side) == 0) return fmt::format("side {} waits for room at a peer that is gone", p.side);
        // A peer that was stopped before its call returned has yet to tell us.
        if (peer.got == p.state().out.out.load()) return fmt::format("side {} waits for room although everything is read", p.side);
    }
    if (!p.blocked_reading && !p.blocked_writing) return fmt::format("side {} is stuck inside a call", p.side);
    return {};
}

void World::judge(Scheduler::Stop why) {
    if (why == Scheduler::Stop::kPoints) {
        std::string who;
        for (const Actor *actor : scheduler.actors()) {
            if (actor->state == Actor::State::kRunnable) who += " " + actor->name;
        }
        return fail("an endless loop of" + who);
    }
    for (const auto &p : process) {
        if (p->far != nullptr && !p->far->misuse().empty())
            return fail(fmt::format("side {} uses the provider as nobody may: {}", p->side, p->far->misuse()));
        if (std::string what = blocked_for_nothing(*p); !what.empty()) return fail(what);
    }
    if (!warmed_up_) return fail("not every byte moved, or no switch, or no STEP");
    if (!fault_done) return fail("no fault came");
    if (!fault_felt) return fail(fmt::format("nobody has met the fault: {}", fault_name(scenario.fault)));
    for (const auto &p : process) {
        if (p->alive && p->ended_short && !p->error_told && p->phase == Phase::kAttached)
            return fail(fmt::format("side {} was never told of the reset", p->side));
        const Process &peer = p->peer();
        if (p->alive && peer.alive && !p->stopped && !peer.stopped && p->phase == Phase::kClosed && peer.phase == Phase::kClosed &&
            (p->far == nullptr || (channel.is_open(0) && channel.is_open(1))) && !p->native && !peer.native &&
            p->arena.buffers_taken() > 0) {
            return fail(fmt::format("side {} still holds {} buffers after both ends have closed", p->side, p->arena.buffers_taken()));
        }
    }
}

}  // namespace sansock::simulation
