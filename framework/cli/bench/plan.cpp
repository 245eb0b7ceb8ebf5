#include "cli/bench/plan.hpp"

namespace sansock::cli::bench {
namespace {

const Figure kMessageRate{"rate", "messages", "1/s", true};
const Figure kMedian{"p50", "p50", "us"};
const Figure kP99{"p99", "p99", "us"};
const Figure kP999{"p999", "p99.9", "us"};

}  // namespace

std::string Step::case_name(const std::string &number) const {
    std::string name = number + (unit.empty() ? "" : " " + unit);
    return note.empty() ? name : name + ", " + note;
}

double Step::seconds_in_all() const {
    const double starts = 0.15;
    if (role == "idle") return starts + seconds + 0.5 + static_cast<double>(numbers.front()) / 1000;
    if (role == "calls") return starts + 0.5 + static_cast<double>(numbers.front()) * (rate > 0 ? 1.5 / rate : 1e-4);
    return starts + static_cast<double>(std::max<std::size_t>(numbers.size(), 1)) * (seconds * 1.25 + 0.05);
}

std::vector<Group> plan(bool quick) {
    const auto either = [quick](auto brief, auto whole) { return quick ? brief : whole; };
    using Numbers = std::vector<std::size_t>;
    const double shortly = 0.05;
    std::vector<Group> groups;
    groups.push_back({"latency",
                      "Latency: round trips of one message at a time",
                      {{.role = "latency",
                        .numbers = either(Numbers{64, 65536}, Numbers{64, 256, 1024, 4096, 16384, 65536}),
                        .seconds = either(shortly, 0.3),
                        .unit = "B"}},
                      {kMedian, kP99, kP999}});
    groups.push_back({"throughput",
                      "Throughput: one stream in one direction, by the size of its writes",
                      {{.role = "throughput",
                        .numbers = either(Numbers{64, 131072}, Numbers{64, 512, 4096, 16384, 65536, 131072, 262144, 1048576}),
                        .seconds = either(shortly, 0.3),
                        .unit = "B"}},
                      {{"rate", "rate", "MB/s", true}}});
    groups.push_back({"connections",
                      "Many connections, a message of 64 B under way on each, one thread at each end",
                      {{.role = "connections",
                        .numbers = either(Numbers{20}, Numbers{10, 100, 1000}),
                        .seconds = either(shortly, 0.5),
                        .unit = "connections"}},
                      {kMessageRate, kMedian, kP99}});
    groups.push_back({"setup",
                      "Set-up: connections of one request each, one after the other",
                      {{.role = "setup", .seconds = either(shortly, 0.5), .unit = "request"}},
                      {{"rate", "connections", "1/s", true}, kMedian, kP99},
                      ~0u,
                      false});
    // Such a machine gives very uneven measurements; long ones are less so.
    Group crowded{"oversubscription", "Oversubscription: messages of 64 B while other programs keep every CPU busy", {}, {kMessageRate}};
    for (const unsigned hogs : either(std::vector{1u}, std::vector{1u, 2u})) {
        const std::string note = std::to_string(hogs) + (hogs == 1 ? " hog a CPU" : " hogs a CPU");
        crowded.steps.push_back(
            {.role = "latency", .numbers = {64}, .seconds = either(shortly, 1.5), .unit = "B", .note = note, .hogs_per_cpu = hogs});
        crowded.steps.push_back({.role = "connections",
                                 .numbers = {50},
                                 .seconds = either(shortly, 1.5),
                                 .unit = "connections",
                                 .note = note,
                                 .hogs_per_cpu = hogs});
    }
    groups.push_back(std::move(crowded));
    groups.push_back(
        {"idle",
         "Connections at rest, both processes together",
         {{.role = "idle", .numbers = {either(std::size_t{50}, std::size_t{1000})}, .seconds = either(0.2, 10.0), .unit = "connections"}},
         {{"cpu_ms_per_minute", "CPU", "ms/min", false, false},
          {"kib_per_connection", "memory of the processes", "KiB each", false, false}},
         3});
    groups.push_back({"calls",
                      "System calls and allocations per round trip of 64 B, both processes together",
                      {{.role = "calls", .numbers = {either(std::size_t{300}, std::size_t{100000})}, .unit = "round trips"},
                       {.role = "calls",
                        .numbers = {either(std::size_t{50}, std::size_t{1000})},
                        .unit = "round trips",
                        .note = "1,000 a second",
                        .rate = 1000}},
                      {{"calls", "system calls", "each", false, false}, {"allocations", "allocations", "each", false, false}},
                      3});
    return groups;
}

std::vector<std::string> group_names() {
    std::vector<std::string> names;
    for (const Group &group : plan(false)) names.push_back(group.name);
    return names;
}

}  // namespace sansock::cli::bench
