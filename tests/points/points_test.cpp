// Every point of the protocol as a place to die, and as a place to stop, for either end of a connection and for a forked sibling: the
// survivor reads the right bytes and then the right end, and holds no more afterwards than before.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "names.hpp"
#include "victim.hpp"

namespace sansock::hostile {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kAtOnce = 8;

/// What the two ends do; together they come by every point.
struct Scenario {
    const char *name;
    const char *config;
};
constexpr Scenario kScenarios[] = {
    {"bulk", SANSOCK_HOSTILE_CONFIG},  {"back", SANSOCK_HOSTILE_CONFIG},  {"exec", SANSOCK_HOSTILE_CONFIG},
    {"fork", SANSOCK_HOSTILE_CONFIG},  {"kept", SANSOCK_HOSTILE_CONFIG},  {"unread", SANSOCK_HOSTILE_CONFIG},
    {"bulk", SANSOCK_POINTS_MESSAGES}, {"back", SANSOCK_POINTS_MESSAGES},
};

/// Who meets the point. The sibling is the child that the connecting end forks in the scenario "fork".
enum class Who { kConnecting, kAccepting, kSibling };
enum class What { kDies, kStopsAndDies, kStopsAndGoesOn };

/// A folder for what one pair leaves behind.
class Scratch {
public:
    Scratch() {
        char name[] = "/tmp/sansock-points-XXXXXX";
        path_ = mkdtemp(name);
    }
    ~Scratch() { fs::remove_all(path_); }
    [[nodiscard]] std::string file(const std::string &name) const { return path_ / name; }

private:
    fs::path path_;
};

struct Counts {
    uint64_t sent = 0, received = 0;
};

Counts counts_in(const std::string &file) {
    Counts counts;
    std::ifstream(file, std::ios::binary).read(reinterpret_cast<char *>(&counts), sizeof counts);
    return counts;
}

std::string empty_counts(const std::string &file) {
    const Counts none;
    std::ofstream(file, std::ios::binary).write(reinterpret_cast<const char *>(&none), sizeof none);
    return file;
}

struct Pair {
    Pair(const Scenario &scenario, Who who, const std::string &plan)
        : counts{empty_counts(scratch.file("accepting")), empty_counts(scratch.file("connecting"))},
          accepting({"accept", scenario.name, counts[0]}, launch(scenario, who == Who::kAccepting ? plan : "")),
          connecting({"connect", scenario.name, counts[1], std::to_string(accepting.port())},
                     launch(scenario, who == Who::kAccepting ? "" : plan)) {}

    static Launch launch(const Scenario &scenario, const std::string &plan) {
        Launch launch{.config = scenario.config};
        if (!plan.empty()) launch.environment = {"SANSOCK_TEST_POINT=" + plan};
        return launch;
    }

    Scratch scratch;
    std::array<std::string, 2> counts;
    Victim accepting, connecting;
};

/// The points that `who` comes by in a scenario.
std::set<std::string> visited(const Scenario &scenario, Who who) {
    const Scratch scratch;
    const std::string list = scratch.file("list");
    Pair pair(scenario, who, "list," + list + (who == Who::kSibling ? ",child" : ""));
    EXPECT_THAT(pair.connecting.ending(), testing::StartsWith("holds ")) << scenario.name << pair.connecting.log();
    pair.accepting.ending();
    std::set<std::string> names;
    std::ifstream file(list);
    for (std::string name; std::getline(file, name);) names.insert(name);
    return names;
}

/// The first scenario in which `who` comes by each point.
const std::map<std::string, Scenario> &scenarios_of(Who who) {
    static std::map<Who, std::map<std::string, Scenario>> known;
    auto &found = known[who];
    if (!found.empty()) return found;
    std::vector<std::pair<Scenario, std::future<std::set<std::string>>>> surveys;
    for (const Scenario &scenario : kScenarios) {
        if (who == Who::kSibling && std::string(scenario.name) != "fork") continue;
        surveys.emplace_back(scenario, std::async(std::launch::async, visited, scenario, who));
    }
    for (auto &[scenario, names] : surveys) {
        for (const std::string &name : names.get()) found.emplace(name, scenario);
    }
    return found;
}

/// With a peer that lives, a process keeps a channel, and an arena each way.
void expect_nothing_left(const std::string &holds, bool peer_lives) {
    int descriptors, threads, arenas, descriptors_before, threads_before, arenas_before;
    ASSERT_EQ(6, std::sscanf(holds.c_str(), "holds %d %d %d, held %d %d %d", &descriptors, &threads, &arenas, &descriptors_before,
                             &threads_before, &arenas_before))
        << holds;
    EXPECT_LE(descriptors, descriptors_before + peer_lives);
    EXPECT_EQ(threads, threads_before);
    EXPECT_LE(arenas, arenas_before + 2 * peer_lives);
}

/// "received N ...", whose N is all that the other end's send() has taken where the end looks clean.
void expect_right_bytes(Victim &survivor, const std::string &its_counts, const std::string &dead_counts, Clock::time_point since,
                        bool peer_lives) {
    std::string line = survivor.line();
    EXPECT_LT(Clock::now() - since, std::chrono::seconds(3)) << "a second, and what a busy machine adds";
    unsigned long received = 0;
    char ending[32] = "";
    ASSERT_EQ(2, std::sscanf(line.c_str(), "received %lu %31s", &received, ending)) << line << survivor.log();
    EXPECT_THAT(std::string(ending), testing::AnyOf("end", "ECONNRESET", "EPIPE"));
    EXPECT_EQ(received, counts_in(its_counts).received);
    if (std::string(ending) == "end") {
        EXPECT_GE(received, counts_in(dead_counts).sent) << "a short stream that ends cleanly";
    }
    const std::string last = survivor.ending();
    if (last.empty()) return;  // another program by now, which never knew what the first one held
    expect_nothing_left(last, peer_lives);
}

void walk(Who who, What what, const std::string &name, const Scenario &scenario, int visit) {
    SCOPED_TRACE(name + ", visit " + std::to_string(visit) + ", scenario " + scenario.name + ", " +
                 fs::path(scenario.config).filename().string());
    const Scratch scratch;
    const std::string reached = scratch.file("reached");
    const int signal = what == What::kDies ? SIGKILL : SIGSTOP;
    const auto begin = Clock::now();
    Pair pair(scenario, who,
              name + "," + std::to_string(visit) + "," + std::to_string(signal) + "," + reached + (who == Who::kSibling ? ",child" : ""));
    const bool accepting = who == Who::kAccepting;
    Victim &marked = accepting ? pair.accepting : pair.connecting, &other = accepting ? pair.connecting : pair.accepting;
    int32_t process = 0;
    const auto hit = [&] {
        std::ifstream(reached, std::ios::binary).read(reinterpret_cast<char *>(&process), sizeof process);
        return process > 0;
    };
    while (!hit() && marked.alive() && Clock::now() - begin < std::chrono::seconds(10))
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (hit() && what != What::kDies) {
        std::this_thread::sleep_for(std::chrono::milliseconds(30));
        kill(process, what == What::kStopsAndDies ? SIGKILL : SIGCONT);
    }
    const bool dead = hit() && what != What::kStopsAndGoesOn;
    // A sibling's death leaves its parent, which reads to the end and closes.
    expect_right_bytes(other, pair.counts[accepting], pair.counts[!accepting], Clock::now(), who == Who::kSibling || !dead);
    if (dead) return;
    expect_right_bytes(marked, pair.counts[!accepting], pair.counts[accepting], Clock::now(), true);
}

class Points : public testing::TestWithParam<std::tuple<Who, What>> {};

TEST_P(Points, LeaveTheOtherEndWhole) {
    const auto [who, what] = GetParam();
    struct Step {
        std::string name;
        Scenario scenario;
        int visit;
    };
    std::vector<Step> steps;
    for (const auto &[name, scenario] : scenarios_of(who)) {
        for (const int visit : {1, 7}) steps.push_back({name, scenario, visit});
    }
    // Several at once, for a pair sleeps most of its time. One failure is enough to look into.
    std::atomic<size_t> next{0};
    std::vector<std::jthread> walkers;
    for (int i = 0; i < kAtOnce; ++i) {
        walkers.emplace_back([&] {
            for (size_t mine = next++; mine < steps.size() && !HasFailure(); mine = next++) {
                walk(who, what, steps[mine].name, steps[mine].scenario, steps[mine].visit);
            }
        });
    }
}

std::string name_of(const testing::TestParamInfo<std::tuple<Who, What>> &info) {
    constexpr const char *kWho[] = {"Connecting", "Accepting", "Sibling"};
    constexpr const char *kWhat[] = {"Dies", "StopsAndDies", "StopsAndGoesOn"};
    return std::string(kWho[static_cast<int>(std::get<0>(info.param))]) + kWhat[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(Of, Points,
                         testing::Combine(testing::Values(Who::kConnecting, Who::kAccepting, Who::kSibling),
                                          testing::Values(What::kDies, What::kStopsAndDies, What::kStopsAndGoesOn)),
                         name_of);

/// Points that no scenario comes by would not be walked at all.
TEST(AllPoints, AreVisited) {
    std::set<std::string> missed(std::begin(kPoints), std::end(kPoints));
    for (const Who who : {Who::kConnecting, Who::kAccepting}) {
        for (const auto &[name, scenario] : scenarios_of(who)) missed.erase(name);
    }
    EXPECT_THAT(missed, testing::IsEmpty());
}

}  // namespace
}  // namespace sansock::hostile
