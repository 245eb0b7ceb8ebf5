#include "world.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <cstring>

#include "application.hpp"
#include "base/point.hpp"
#include "points.hpp"

namespace sansock::simulation {
namespace {

constexpr uint64_t kTimeLimitNs = 60'000'000'000;
constexpr uint64_t kPointsLimit = 3'000'000;
constexpr uint32_t kFaultWithin = 8000;  ///< Points of the victim, after which the fault comes wherever it is.

}  // namespace

Process::Process(World &w, int which) : world(w), side(which), state_memory(std::make_unique<stream::State>()) {}

Process &Process::peer() const { return *world.process[1 - side]; }

World::World() = default;
World::~World() = default;

void World::set_up() {
    tcp.reset(scenario.send_limit, scenario.receive_limit);
    path_stopped = fault_done = fault_felt = excused = warmed_up_ = overdue_ = deferred_ = intruded_ = false;
    hits_ = points_since_ = 0;
    leaving_ = -1;
    next_drain_ = 0;
    drains_now_ = false;
    for (int side = 0; side < 2; ++side) {
        process[side] = std::make_unique<Process>(*this, side);
        Process &p = *process[side];
        if (p.arena.create(scenario.buffer_size, uint64_t{scenario.buffers} * scenario.buffer_size) != 0) return fail("no arena");
        p.slot_index = p.arena.take_slot().value();
    }
    for (auto &owner : process) {
        Process &p = *owner;
        if (p.peer_arena.map(p.peer().arena.fd()) != 0) return fail("the peer's arena cannot be mapped");
        p.end = std::make_unique<stream::End>(
            p.state(), stream::End::Memory{&p.arena, &p.slot(), &p.peer_arena, &p.peer_arena.slot(p.peer().slot_index)}, p.environment);
        // As framework/socket/meetings.cpp attaches it.
        stream::State &state = p.state();
        state.out.window = std::min<uint64_t>(scenario.window, scenario.send_limit);
        state.out.buffers_max = static_cast<uint16_t>(scenario.send_buffers);
        state.out.segment_buffer = memory::kInlineBuffer;
        state.epoch.store(1);
        state.attached.store(1);
    }
}

World::Outcome World::run(uint64_t seed) {
    scenario = Scenario::of(seed);
    scheduler.reset(seed, this);
    set_up();
    Application applications[2] = {Application(*process[0]), Application(*process[1])};
    for (Application &application : applications) application.spawn();
    for (auto &p : process) {
        scheduler.spawn(p->side == 0 ? "A-helper" : "B-helper", p->side, [this, &p] { run_helper(*p); });
    }
    Actor &drains = scheduler.spawn("operator", scenario.victim, [this] { run_operator(); });
    drains.weight = std::max<uint64_t>(drains.weight, 64);  // or the first bytes may be through before it is
    if (scenario.late_drain >= 0) scheduler.spawn("late-operator", scenario.late_drain, [this] { run_late_operator(); });
    scheduler.spawn("path", -1, [this] { run_path(); });
    const auto why = scheduler.run(kTimeLimitNs, kPointsLimit);
    if (scheduler.failure().empty()) judge(why);

    Outcome outcome{};
    outcome.failure = scheduler.failure();
    for (int side = 0; side < 2; ++side) {
        const stream::State &state = process[side]->state();
        outcome.bytes[side] = process[1 - side]->got;
        outcome.upgrades += state.upgrades.load();
        outcome.step_backs += state.step_backs.load();
        process[side]->peer_arena.close();
        process[side]->arena.close();
    }
    outcome.fault = fault_felt;
    outcome.points = scheduler.points_passed();
    return outcome;
}

void World::progressed() {
    if (!warmed_up_) {
        const Process &a = *process[0], &b = *process[1];
        const bool moved = std::min(a.got, b.got) >= kBytesMin;
        warmed_up_ = moved && a.state().upgrades.load() + b.state().upgrades.load() > 0 &&
                     a.state().step_backs.load() + b.state().step_backs.load() > 0;
        if (warmed_up_) scheduler.trace("the first bytes have moved");
    }
    scheduler.wake(&next_drain_);
}

/// As HelperThread::run() in framework/socket/helper.cpp.
void World::run_helper(Process &p) {
    short known = 0;
    for (;;) {
        const short now = static_cast<short>(tcp.poll(p.side) & (POLLRDHUP | POLLHUP | POLLERR));
        const bool may_repeat = p.mapped && p.state().out.replaying && (tcp.poll(p.side) & POLLOUT) != 0;
        if (p.doorbell.count == 0 && (now & ~known) == 0 && !may_repeat && !p.channel_ended) {
            known = now;
            scheduler.sleep({&p.doorbell, tcp.key(p.side)}, kForever);
            continue;
        }
        SANSOCK_POINT("helper");
        if (p.doorbell.count > 0) {
            p.doorbell.count = 0;
            if (p.mapped) look_after(p);
            for (uint16_t id = kFirstWaker; id < kWakersEnd; ++id) {
                if (p.arena.header().parked[id].load(std::memory_order_relaxed) != 0) p.wakers[id].ring();
            }
        }
        if (may_repeat && p.mapped) look_after(p);
        if (std::exchange(p.channel_ended, false) && p.mapped && p.phase == Phase::kAttached) {
            stream::Guard guard(p.fd_lock);
            if (p.mapped) p.end->peer_deserts();
        }
        if ((now & ~known) != 0) {
            known = now;
            if (!p.mapped) continue;
            cover(p, (now & POLLERR) != 0 ? Event::kReset : Event::kFin);
            scheduler.trace("TCP has ended: %x", static_cast<unsigned>(now));
            if ((now & (POLLERR | POLLHUP)) != 0) {
                p.end->tcp_ended((now & POLLERR) != 0 ? stream::kTcpReset : stream::kTcpFin);
            } else {
                p.end->tcp_ended(stream::kTcpFin);
            }
            if (p.phase == Phase::kLingering) finish_lingering(p);
        }
    }
}

void World::look_after(Process &p) {
    stream::Guard guard(p.fd_lock);
    if (!p.mapped) return;
    cover(p, Event::kHelper);
    stream::End &end = *p.end;
    if (end.needs_progress()) end.progress();
    if (p.phase == Phase::kLingering) finish_lingering(p);
}

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
        p.end->step(stream::Reason::kDrained, false);
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

void World::run_path() {
    for (;;) {
        SANSOCK_POINT("wire");
        if (path_stopped && (tcp.can_deliver(0) || tcp.can_deliver(1))) felt();
        const int first = static_cast<int>(scheduler.random.below(2));
        const size_t size = scheduler.random.skewed(scenario.path_step_max);
        if (path_stopped || (!tcp.deliver(first, size) && !tcp.deliver(1 - first, size))) {
            scheduler.sleep({tcp.path_key()}, kForever);
        } else if (scenario.path_nap_ns > 0 && scheduler.random.chance(30)) {
            scheduler.sleep({}, scheduler.now_ns() + 1 + scheduler.random.below(scenario.path_nap_ns));
        }
    }
}

void World::passed(Actor &actor, int point) {
    if (scheduler.tracing && std::strchr("USE", point_names()[static_cast<size_t>(point)][0]) != nullptr) {
        scheduler.trace("  %s", point_names()[static_cast<size_t>(point)]);
    }
    if (tcp.pressure_felt()) felt();
    if (!warmed_up_ || fault_felt || actor.process != scenario.victim) return;
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
    const bool may_linger = orderly && p.phase == Phase::kAttached && p.end->unconsumed() > 0 && !p.peer().finished && p.peer().alive;
    deferred_ = may_linger && scenario.fault != Fault::kMute && scenario.fault != Fault::kLeave && scheduler.random.chance(50);
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
    survivor.channel_ended = true;
    scheduler.wake(&survivor.doorbell);
}

/// Whether the scenario's fault would change anything.
bool World::can_strike() const {
    const Process &victim = *process[scenario.victim];
    switch (scenario.fault) {
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
            kill(victim);
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

/// Why an application that is blocked should not be; empty when a TCP application would wait here too.
std::string World::blocked_for_nothing(const Process &p) const {
    if (!p.alive || p.stopped || p.mute || p.finished) return {};
    const Process &peer = p.peer();
    const bool gone = !peer.alive || peer.phase == Phase::kClosed;
    const uint32_t epoch = p.state().epoch.load();
    const bool stepping = p.slot().cold.step.load() == epoch || p.end->memory().peer->cold.step.load() == epoch;
    const bool tcp_stuck = path_stopped && (p.state().in.path == stream::Path::kTcp || p.state().out.path == stream::Path::kTcp);
    if (tcp_stuck || (path_stopped && gone)) return {};
    if (peer.stopped && stepping) return {};  // only the peer can answer a STEP
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
            !p->native && !peer.native && p->arena.buffers_taken() > 0) {
            return fail(fmt::format("side {} still holds {} buffers after both ends have closed", p->side, p->arena.buffers_taken()));
        }
    }
}

}  // namespace sansock::simulation
