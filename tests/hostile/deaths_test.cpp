// One end of a connection is killed, or stopped, while both directions move.
#include <signal.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "counts.hpp"
#include "holding.hpp"
#include "outcome.hpp"

namespace sansock::hostile {
namespace {

using Clock = std::chrono::steady_clock;

const Launch kStream{.program = SANSOCK_STREAM};
constexpr const char *kSize = "1073741824";

struct Pair {
    CountsFile server_counts, client_counts;
    Victim server{{"accept", kSize, server_counts.path()}, kStream};
    Victim client{{"connect", kSize, client_counts.path(), std::to_string(server.port())}, kStream};
};

/// How long a survivor may take to see the end. A machine that is busy with something else may need longer, but not twice.
constexpr auto kToSeeTheEnd = std::chrono::seconds(1);

/// By its last line, it holds what it held before the connection.
void expect_nothing_left(Victim &victim) {
    const std::string line = victim.ending();
    const auto found = holdings_in(line);
    ASSERT_TRUE(found) << line << victim.log();
    const auto &[now, before] = *found;
    EXPECT_EQ(before.descriptors, now.descriptors) << line;
    EXPECT_EQ(before.eventfds, now.eventfds) << line;
    EXPECT_EQ(before.threads, now.threads) << line;
    EXPECT_EQ(before.maps, now.maps) << line;
    EXPECT_EQ(before.kib, now.kib) << line;
}

/// "received N ECONNRESET" or, where all that the dead had sent was read and all that it was sent had been, "received N end". Answers
/// how long that took.
Clock::duration expect_right_end(Victim &survivor, const CountsFile &dead, Clock::time_point killed) {
    std::string line = survivor.line();
    if (line == "moving") line = survivor.line();
    const auto took = Clock::now() - killed;
    unsigned long received = 0;
    char ending[32] = "";
    EXPECT_EQ(2, std::sscanf(line.c_str(), "received %lu %31s", &received, ending)) << line;
    const std::string how = ending;
    EXPECT_TRUE(how == "ECONNRESET" || how == "end" || how == "EPIPE") << line;
    if (how == "end") {
        EXPECT_GE(received, dead.sent()) << "a short stream that ends cleanly";
    }
    expect_nothing_left(survivor);
    return took;
}

class Deaths : public testing::TestWithParam<bool> {};

TEST_P(Deaths, InTheMiddleOfAGibibyteBothWays) {
    const unsigned seed = std::random_device{}();
    std::mt19937 random(seed);
    int late = 0;
    for (int round = 0; round < 6; ++round) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        Pair pair;
        Victim &dies = GetParam() ? pair.server : pair.client, &survives = GetParam() ? pair.client : pair.server;
        ASSERT_EQ("moving", survives.line());
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 100'000));
        kill(dies.pid(), SIGKILL);
        const auto took = expect_right_end(survives, GetParam() ? pair.server_counts : pair.client_counts, Clock::now());
        EXPECT_GT(survives.record()["bytes_received"]["provider"], 0) << survives.record();
        if (took < kToSeeTheEnd) continue;
        ASSERT_EQ(1, ++late) << "the survivor saw the end after " << took / std::chrono::milliseconds(1) << " ms";
        --round;
    }
}

INSTANTIATE_TEST_SUITE_P(Roles, Deaths, testing::Bool(), [](const auto &info) { return info.param ? "Server" : "Client"; });

TEST(Deaths, OfNobody) {
    Pair pair;
    for (Victim *victim : {&pair.server, &pair.client}) {
        ASSERT_EQ("moving", victim->line());
        EXPECT_EQ(std::string("received ") + kSize + " end", victim->line());
    }
    for (const CountsFile *counts : {&pair.server_counts, &pair.client_counts}) {
        EXPECT_EQ(kSize, std::to_string(counts->sent()));
        EXPECT_EQ(kSize, std::to_string(counts->received()));
    }
}

/// A parent that has moved connections and left them to its children: neither what it holds nor what it is charged for grows.
TEST(Children, LeaveNothingInTheirParent) {
    constexpr int kRounds = 16;  // of which eight fill what the configuration allows, if nothing comes back
    Victim server({std::to_string(kRounds)}, {.program = SANSOCK_FORKS});
    const std::string port = std::to_string(server.port());
    for (int round = 0; round < kRounds; ++round) {
        Victim client({"connect", port, "200"});
        ASSERT_EQ("end", client.ending()) << client.log();
        const auto record = client.record();
        EXPECT_EQ("simulated", record["path"]) << "round " << round << ": " << record << server.log();
    }
    expect_nothing_left(server);
}

/// What TCP would do, too: the other end waits, and its own signals and its death work as ever.
TEST(Stops, HoldNobodyUp) {
    Pair pair;
    ASSERT_EQ("moving", pair.client.line());
    kill(pair.server.pid(), SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const auto asked = Clock::now();
    kill(pair.client.pid(), SIGTERM);
    EXPECT_THAT(pair.client.ending(), testing::StartsWith("killed by signal 15"));
    EXPECT_LT(Clock::now() - asked, std::chrono::seconds(2));
    kill(pair.server.pid(), SIGCONT);
    expect_right_end(pair.server, pair.client_counts, Clock::now());
}

}  // namespace
}  // namespace sansock::hostile
