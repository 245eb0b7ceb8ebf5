// What goes wrong, and when.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cstring>

#include "base/point.hpp"
#include "points.hpp"
#include "world.hpp"

namespace sansock::simulation {
namespace {

constexpr uint32_t kFaultWithin = 8000;  ///< Points of the victim, after which the fault comes wherever it is.

}  // namespace

void World::passed(Actor &actor, int point) {
    if (scheduler.tracing && std::strchr("USEBM", point_names()[static_cast<size_t>(point)][0]) != nullptr) {
        scheduler.trace("  %s", point_names()[static_cast<size_t>(point)]);
    }
    if (tcp.pressure_felt()) felt();
    if (!warmed_up_ || fault_felt || actor.process != scenario.victim || is_idle()) return;
    if (fault_done && !overdue_) return;
    ++points_since_;
    if (scenario.at_point < 0 || scenario.at_point == point) ++hits_;
    if (hits_ < scenario.at_count && points_since_ < kFaultWithin && !overdue_) return;
    if (overdue_) return due_now();
    fault_done = strike();
    if (fault_done) progressed();
}

/// A STEP in just that moment is worth more than at any other.
void World::preempted(Actor &actor) {
    if (actor.process != scenario.victim || !scheduler.random.chance(30)) return;
    drains_now_ = true;
    scheduler.wake(&next_drain_);
}

void World::last_call(const Process &p) {
    if (p.side != scenario.victim) {
        if (deferred_) due_now();  // or there might be nobody left for whom it makes a difference
        return;
    }
    // Close is a call as well, and one that may leave something to the helper: now and then the fault waits for that.
    const bool orderly = scenario.side[p.side].ending == Ending::kShutdown || scenario.side[p.side].ending == Ending::kReadThenClose;
    const bool kept = p.end->unconsumed() > 0 && (p.far == nullptr || p.peer().got < p.told);  // of another host that is heard late
    const bool may_linger = orderly && p.phase == Phase::kAttached && kept && !p.peer().finished && p.peer().alive;
    const bool may_wait = scenario.fault != Fault::kMute && scenario.fault != Fault::kLeave && scenario.fault != Fault::kPathSilent;
    deferred_ = may_linger && may_wait && scheduler.random.chance(50);
    overdue_ = !deferred_;
}

/// The last moment for a fault: one that nobody has met is followed by a kill, but for those that the very next call meets.
void World::due_now() {
    overdue_ = true;
    if (fault_felt || !warmed_up_) return;
    if (!fault_done && strike()) {
        fault_done = true;
    } else if (scenario.fault != Fault::kMute && scenario.fault != Fault::kLeave) {
        fault_done |= strike_instead();
    }
    if (fault_done) progressed();
}

void World::closed(const Process &p) {
    if (p.side != scenario.victim) return;
    overdue_ = true;
    if (intruded_ && p.phase == Phase::kClosed && !p.peer().finished && !tcp.was_reset(0) && !tcp.was_reset(1))
        fail("nobody has noticed the intruder's bytes");  // I3
}

void World::kill(Process &victim) {
    cover(victim, Event::kKilled);
    Process &survivor = victim.peer();
    cover(survivor, Event::kPeerKilled);
    victim.alive = false;
    excused = true;
    survivor.unread_at_peers_death = survivor.end->on_provider(true) &&
                                     survivor.slot().cold.stepped.load() != survivor.state().epoch.load() &&
                                     victim.slot().cold.stepped.load() < survivor.state().epoch.load() &&
                                     victim.state().in.in.load() < survivor.told && !victim.finished && !victim.state().out.fin;
    scheduler.kill(victim.side);
    tcp.close(victim.side);
    if (victim.far != nullptr) {
        channel_lost_ = true;
        while (scheduler.random.chance(50) && victim.far->endpoint().paper.arrive()) {
        }
        return victim.far->die();
    }
    survivor.channel_ended = true;
    scheduler.wake(&survivor.doorbell);
}

/// Over TCP this would be a clean end, and is one here, too, once both ends know that nothing is kept.
void World::idle_kill(bool long_silent) {
    if (fault_done || process[0]->finished || process[1]->finished) return;
    const bool guarded = tcp.is_guarded(0) || tcp.is_guarded(1);
    if (guarded && long_silent) return fail("a guard is still on, though everything has long been read (B5)");
    scheduler.trace("FAULT: kill of an idle side %d", scenario.victim);
    kill(*process[scenario.victim]);
    excused = guarded || !channel.is_quiet();
    fault_done = fault_felt = true;
    progressed();
}

/// The helpers hear each other no more, though both live.
void World::cut(Process &victim) {
    channel_lost_ = true;
    // Those that are on TCP for good do not notice.
    for (const auto &p : process) excused |= p->mapped && p->slot().cold.ready.load() == p->state().epoch.load();
    if (!scenario.far.cut_cleanly) return channel.cut();
    channel.close(victim.side);
    scheduler.wake(channel.key(victim.side));
}

void World::poisoned(const Process &p, stream::Reason reason) {
    switch (reason) {
        case stream::Reason::kExec:  // the peer did not answer in time: the reset that the protocol begins by itself
            excused = true;
            break;
        case stream::Reason::kDrained:  // the same; the reason of a STEP that was under way stands
            excused |= wants_leave(p);
            break;
        case stream::Reason::kChannelLost:
            if (!channel_lost_ && !path_stopped) fail(fmt::format("side {} resets for a channel that has not ended (B7)", p.side));
            excused = true;
            break;
        case stream::Reason::kPeerSilent: excused |= path_stopped || p.peer().stopped || p.peer().mute; break;
        case stream::Reason::kProtocol:
            if (!intruded_) fail(fmt::format("side {} takes its peer for a liar", p.side));
            break;
        default: break;
    }
}

/// Whether the scenario's fault would change anything.
bool World::can_strike() const {
    const Process &victim = *process[scenario.victim];
    const auto on_provider = [](const Process &p) { return p.mapped && (p.end->on_provider(true) || p.end->on_provider(false)); };
    switch (scenario.fault) {
        case Fault::kIdleKill:
        case Fault::kKill:
        case Fault::kStop:
        case Fault::kStall: return victim.phase != Phase::kClosed;
        case Fault::kMute:
        case Fault::kLeave: return !victim.finished;
        case Fault::kPressure: return tcp.takes_output(victim.side) && (!victim.finished || victim.phase == Phase::kLingering);
        case Fault::kIntruder: {
            const stream::State &state = victim.state();
            // One that a reset greets would take the news of it from the victim.
            const bool reset = (tcp.poll(victim.side) & POLLERR) != 0;
            return !reset && !victim.finished && !victim.peer().finished && victim.slot().cold.switched.load() == state.epoch.load() &&
                   victim.end->on_provider(true) && !state.out.stopped;
        }
        case Fault::kPathFails:
        case Fault::kPathSilent: return on_provider(victim) || on_provider(victim.peer());
        case Fault::kCut: return channel.is_open(0) && channel.is_open(1) && victim.mapped && victim.peer().mapped;
        case Fault::kPathStops: return tcp.takes_output(0) || tcp.takes_output(1) || tcp.can_deliver(0) || tcp.can_deliver(1);
    }
    return false;
}

bool World::strike() {
    if (!can_strike()) return false;
    Process &victim = *process[scenario.victim];
    Process &other = victim.peer();
    switch (scenario.fault) {
        case Fault::kKill:
        case Fault::kIdleKill:
            kill(victim);
            felt();
            break;
        case Fault::kPathFails:
            cover(victim, Event::kPathFails);
            victim.far->endpoint().paper.fail(SANSOCK_EIO);
            scheduler.wake(provider_key());
            felt();
            break;
        case Fault::kPathSilent:
            cover(victim, Event::kPathFails);
            provider_silent_ = true;
            break;
        case Fault::kCut:
            cover(victim, Event::kCut);
            cover(other, Event::kCut);
            cut(victim);
            felt();
            break;
        case Fault::kStop:
        case Fault::kStall: {
            cover(victim, Event::kStopped);
            cover(other, Event::kPeerStopped);
            const bool for_ever = scenario.fault == Fault::kStop;
            victim.stopped = for_ever;
            scheduler.stop(victim.side, for_ever ? kForever : scheduler.now_ns() + scheduler.random.skewed(20'000'000));
            felt();
            break;
        }
        case Fault::kMute:
            cover(victim, Event::kMuted);
            victim.mute = true;
            break;
        case Fault::kPressure:
            cover(victim, Event::kPressure);
            tcp.limit_send(victim.side, scheduler.random.one_of<size_t>({64, 700, 2000}));
            break;
        case Fault::kIntruder:
            if (!intrude(victim)) return false;
            break;
        case Fault::kPathStops:
            path_stopped = true;
            scheduler.wake(tcp.path_key());
            break;
        case Fault::kLeave:
            leaving_ = victim.side;
            if (scenario.silent_peer) {
                cover(other, Event::kStopped);
                cover(victim, Event::kPeerStopped);
                other.stopped = true;
                scheduler.stop(other.side, kForever);
                felt();
            }
            break;
    }
    scheduler.trace("FAULT: %s of side %d", fault_name(scenario.fault), scenario.victim);
    return true;
}

bool World::intrude(Process &victim) {
    static constexpr uint8_t kForeign[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    const iovec part{const_cast<uint8_t *>(kForeign), sizeof kForeign};
    if (tcp.send(victim.side, &part, 1) < 0) return false;
    cover(victim, Event::kIntruder);
    intruded_ = true;
    excused = true;
    felt();
    return true;
}

bool World::strike_instead() {
    Process &victim = *process[scenario.victim];
    Process &whom = victim.phase != Phase::kClosed ? victim : victim.peer();
    if (whom.phase == Phase::kClosed || !whom.alive) return false;
    kill(whom);
    felt();
    scheduler.trace("FAULT: %s can do nothing, so side %d is killed", fault_name(scenario.fault), whom.side);
    return true;
}

}  // namespace sansock::simulation
