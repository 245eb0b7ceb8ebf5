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

}  // namespace

Process::Process(World &w, int which) : world(w), side(which), state_memory(std::make_unique<stream::State>()) {}

Process &Process::peer() const { return *world.process[1 - side]; }

World::World() = default;
World::~World() = default;

void World::set_up() {
    tcp.reset(scenario.send_limit, scenario.receive_limit);
    channel.reset(scenario.far.channel_room);
    lines.assign(1, {});
    provider_silent_ = channel_lost_ = false;
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
        if (!scenario.two_hosts) continue;
        p.far = std::make_unique<Far>(p);
        if (!p.far->open()) return fail("no memory for messages");
    }
    for (auto &owner : process) {
        Process &p = *owner;
        if (p.far == nullptr && p.peer_arena.map(p.peer().arena.fd()) != 0) return fail("the peer's arena cannot be mapped");
        stream::End::Memory memory{&p.arena, &p.slot(), &p.peer_arena, &p.peer_arena.slot(p.peer().slot_index)};
        if (p.far != nullptr) memory = p.far->memory();
        p.end = std::make_unique<stream::End>(p.state(), memory, p.environment);
        // As framework/socket/meetings.cpp attaches it.
        stream::State &state = p.state();
        state.out.window = std::min<uint64_t>(scenario.window, scenario.send_limit);
        state.out.buffers_max = static_cast<uint16_t>(scenario.send_buffers);
        state.out.segment_buffer = memory::kInlineBuffer;
        state.epoch.store(1);
        state.attached.store(1);
        if (p.far != nullptr) p.far->meet();
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
    if (!scenario.two_hosts) {
        Actor &drains = scheduler.spawn("operator", scenario.victim, [this] { run_operator(); });
        drains.weight = std::max<uint64_t>(drains.weight, 64);  // or the first bytes may be through before it is
    }
    for (int side = 0; side < 2 && scenario.two_hosts; ++side) {
        if (scenario.far.drains_at[side] > 0) scheduler.spawn("operator", side, [this, side] { drain_far(side); });
    }
    if (scenario.fault == Fault::kIdleKill) scheduler.spawn("killer", -1, [this] { run_idle_killer(); });
    if (scenario.late_drain >= 0) scheduler.spawn("late-operator", scenario.late_drain, [this] { run_late_operator(); });
    scheduler.spawn("path", -1, [this] { run_path(); });
    if (scenario.two_hosts) {
        scheduler.spawn("channel", -1, [this] { run_channel(); });
        scheduler.spawn("provider", -1, [this] { run_provider(); });
    }
    const auto why = scheduler.run(kTimeLimitNs, kPointsLimit);
    if (scheduler.failure().empty()) judge(why);

    Outcome outcome{};
    outcome.failure = scheduler.failure();
    for (int side = 0; side < 2; ++side) {
        const stream::State &state = process[side]->state();
        outcome.bytes[side] = process[1 - side]->got;
        outcome.upgrades += state.upgrades.load();
        outcome.step_backs += state.step_backs.load();
        if (process[side]->far != nullptr) process[side]->far->close_memory();
        if (process[side]->far == nullptr) process[side]->peer_arena.close();
        process[side]->arena.close();
    }
    outcome.enough = std::min(outcome.bytes[0], outcome.bytes[1]) >= kBytesMin && outcome.upgrades > 0 &&
                     (outcome.step_backs > 0 || scenario.two_hosts) && fault_felt;
    outcome.points = scheduler.points_passed();
    return outcome;
}

void World::progressed() {
    if (!warmed_up_) {
        const Process &a = *process[0], &b = *process[1];
        const bool moved = std::min(a.got, b.got) >= kBytesMin;
        // Between two hosts a STEP may be for good, and then whatever comes after it comes to TCP alone.
        warmed_up_ = moved && a.state().upgrades.load() + b.state().upgrades.load() > 0 &&
                     (scenario.two_hosts || a.state().step_backs.load() + b.state().step_backs.load() > 0);
        if (warmed_up_) scheduler.trace("the first bytes have moved");
    }
    scheduler.wake(&next_drain_);
}

}  // namespace sansock::simulation
