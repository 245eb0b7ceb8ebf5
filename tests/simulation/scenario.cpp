#include "scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "path/credits.hpp"
#include "points.hpp"
#include "random.hpp"

namespace sansock::simulation {

const char *fault_name(Fault fault) {
    constexpr const char *kNames[kFaults] = {"kill",       "stop",  "stall",      "mute",        "pressure", "intruder",
                                             "path-stops", "leave", "path-fails", "path-silent", "cut",      "idle-kill"};
    return kNames[static_cast<int>(fault)];
}

Scenario Scenario::of(uint64_t seed) {
    Random random(seed ^ 0x5ce7'a210);
    Scenario s{};
    s.buffer_size = random.one_of<uint32_t>({4096, 4096, 8192});
    s.send_buffers = static_cast<uint32_t>(random.between(1, 5));
    s.buffers = random.chance(20) ? static_cast<uint32_t>(random.below(3)) : 2 * s.send_buffers;
    s.window = uint64_t{s.send_buffers} * s.buffer_size;
    s.send_limit = static_cast<uint32_t>(s.window + random.one_of<uint32_t>({0, 0, 1, 5000, 60'000}));
    s.receive_limit = random.one_of<uint32_t>({1000, 4096, 20'000, 70'000});
    s.path_step_max = random.one_of<uint32_t>({100, 1448, 4096, 4096});
    s.path_nap_ns = random.one_of<uint32_t>({0, 0, 1000, 300'000});
    for (SidePlan &plan : s.side) {
        plan.threads = random.chance(60);
        plan.bytes = kBytesMin + random.skewed(32 * 1024);
        plan.write_max = random.one_of<uint32_t>({3000, 8192, 16'000, 16'000});
        plan.read_max = random.one_of<uint32_t>({3000, 8192, 16'000, 16'000});
        plan.peek_percent = random.one_of<uint8_t>({0, 0, 10, 40});
        plan.ending = Ending::kShutdown;
    }
    // One side at least says where its stream ends, or both might wait for the other to say so.
    s.side[random.below(2)].ending =
        random.one_of({Ending::kShutdown, Ending::kShutdown, Ending::kReadThenClose, Ending::kHasty, Ending::kAbort});
    s.drains = static_cast<uint8_t>(random.between(1, 3));
    s.fault = static_cast<Fault>(random.below(kFaultsWithin));
    if (random.chance(25)) s.fault = Fault::kKill;
    s.victim = static_cast<int>(random.below(2));
    s.silent_peer = random.chance(30);
    if (random.chance(70)) {
        s.at_point = static_cast<int>(random.below(kPointsWithin));
        s.at_count = static_cast<uint32_t>(random.skewed(5));
    } else {
        s.at_point = -1;
        s.at_count = static_cast<uint32_t>(random.skewed(4000));
    }
    if (s.fault == Fault::kLeave && random.chance(50)) {
        // Just after an epoch, when the peer may be ready for the next one: then the peer's next STEP finds nobody there.
        s.at_point = static_cast<int>(std::ranges::find(point_names(), std::string_view("S4.over")) - point_names().begin());
        s.at_count = 1;
    }
    s.late_drain = random.chance(50) ? static_cast<int>(random.below(2)) : -1;
    if (s.fault == Fault::kPressure) s.late_drain = s.victim;  // or it might never be felt
    s.lends = s.fault != Fault::kLeave && random.chance(40);   // of those few enough meet what leaving is about
    s.undrains = random.chance(10);
    s.two_hosts = random.chance(50);
    if (s.two_hosts) s.draw_far(random);
    return s;
}

void Scenario::draw_far(Random &random) {
    far.sends = static_cast<uint32_t>(random.between(1, 12));
    for (uint32_t &receives : far.receives)
        receives = static_cast<uint32_t>(random.between(path::Credits::kReceivesMin, path::Credits::kReceivesMin + 8));
    far.message_bytes = random.one_of<uint64_t>({500, 2000, 1 << 20});
    far.acknowledged = random.chance(50);
    far.answerer_sends_first = random.chance(20);
    far.path_nap_ns = random.one_of<uint32_t>({0, 0, 1000, 100'000});
    far.channel_nap_ns = random.one_of<uint32_t>({0, 1000, 100'000, 3'000'000});
    far.channel_room = random.one_of<uint32_t>({1, 2, 50});
    for (uint64_t &at : far.drains_at) at = random.chance(25) ? 1 + random.below(3 * kBytesMin) : 0;
    for (bool &exits : far.exits) exits = random.chance(30);
    far.cut_cleanly = random.chance(50);
    lends = undrains = false;
    // What an intruder wrote would pass for repeated bytes at an end that has frozen (B3).
    fault = random.one_of({Fault::kKill, Fault::kKill, Fault::kKill, Fault::kStop, Fault::kStall, Fault::kMute, Fault::kPressure,
                           Fault::kPathStops, Fault::kLeave, Fault::kPathFails, Fault::kPathFails, Fault::kPathSilent, Fault::kCut,
                           Fault::kCut, Fault::kIdleKill});
    if (fault == Fault::kPressure) late_drain = victim;
    if (at_point >= 0) at_point = static_cast<int>(random.below(point_names().size()));
    far.return_ns = random.one_of<uint64_t>({0, 10'000, 300'000, 20'000'000});
    if (far.return_ns != 0) undrains = random.chance(50);
}

std::string Scenario::text() const {
    constexpr const char *kEndings[] = {"shutdown", "close at the peer's end", "hasty close", "abort"};
    std::string text = fmt::format("{} buffers of {}, at most {} held, kernel queues {} and {}, path {} bytes at a time, nap {} ns\n",
                                   buffers, buffer_size, send_buffers, send_limit, receive_limit, path_step_max, path_nap_ns);
    for (const SidePlan &plan : side) {
        text += fmt::format("side {}: {}, {} bytes, writes up to {}, reads up to {}, peeks {} %, ends with {}\n", &plan - side,
                            plan.threads ? "two threads" : "one thread that polls", plan.bytes, plan.write_max, plan.read_max,
                            plan.peek_percent, kEndings[static_cast<int>(plan.ending)]);
    }
    if (two_hosts) {
        text += fmt::format("two hosts: {} sends, {} and {} receives, messages of {} bytes, done when {}, naps {} and {} ns, {} sayings\n",
                            far.sends, far.receives[0], far.receives[1], far.message_bytes, far.acknowledged ? "there" : "under way",
                            far.path_nap_ns, far.channel_nap_ns, far.channel_room);
        text += fmt::format("steps at {} and {} bytes, returns after {} ns{}{}\n", far.drains_at[0], far.drains_at[1], far.return_ns,
                            far.exits[0] ? ", 0 exits" : "", far.exits[1] ? ", 1 exits" : "");
    }
    return text + fmt::format("{} {}; {} of side {} at {} number {} after the first {} bytes\n", drains,
                              lends ? "drains or loans" : "drains", fault_name(fault), victim,
                              at_point < 0 ? "point" : point_names()[static_cast<size_t>(at_point)], at_count, kBytesMin);
}

}  // namespace sansock::simulation
