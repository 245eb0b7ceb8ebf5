// One end of a connection is killed, or stopped, while both directions move.
#include <signal.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "outcome.hpp"

namespace sansock::hostile {
namespace {

using Clock = std::chrono::steady_clock;

const Launch kStream{.program = SANSOCK_STREAM};
constexpr const char *kSize = "1073741824";

struct Pair {
    Victim server{{"accept", kSize}, kStream};
    Victim client{{"connect", kSize, std::to_string(server.port())}, kStream};
};

/// Its last line: "holds D T A, held D T A".
void expect_nothing_left(Victim &victim) {
    const std::string holds = victim.ending();
    int descriptors, threads, arenas, descriptors_before, threads_before, arenas_before;
    ASSERT_EQ(6, std::sscanf(holds.c_str(), "holds %d %d %d, held %d %d %d", &descriptors, &threads, &arenas, &descriptors_before,
                             &threads_before, &arenas_before))
        << holds << victim.log();
    EXPECT_LE(descriptors, descriptors_before);
    EXPECT_EQ(threads, threads_before);
    EXPECT_EQ(arenas, arenas_before);
}

/// "received N ECONNRESET" or, where all that the dead had sent was read and all that it was sent had been, "received N end".
void expect_right_end(Victim &survivor, Clock::time_point killed) {
    std::string line = survivor.line();
    if (line == "moving") line = survivor.line();
    EXPECT_LT(Clock::now() - killed, std::chrono::seconds(3)) << "a second, and what a busy machine adds";
    EXPECT_TRUE(line.starts_with("received ")) << line;
    EXPECT_TRUE(line.ends_with(" ECONNRESET") || line.ends_with(" end") || line.ends_with(" EPIPE")) << line;
    expect_nothing_left(survivor);
}

class Deaths : public testing::TestWithParam<bool> {};

TEST_P(Deaths, InTheMiddleOfAGibibyteBothWays) {
    const unsigned seed = std::random_device{}();
    std::mt19937 random(seed);
    for (int round = 0; round < 6; ++round) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        Pair pair;
        Victim &dies = GetParam() ? pair.server : pair.client, &survives = GetParam() ? pair.client : pair.server;
        ASSERT_EQ("moving", survives.line());
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 100'000));
        kill(dies.pid(), SIGKILL);
        expect_right_end(survives, Clock::now());
        EXPECT_GT(survives.record()["bytes_received"]["provider"], 0) << survives.record();
    }
}

INSTANTIATE_TEST_SUITE_P(Roles, Deaths, testing::Bool(), [](const auto &info) { return info.param ? "Server" : "Client"; });

TEST(Deaths, OfNobody) {
    Pair pair;
    for (Victim *victim : {&pair.server, &pair.client}) {
        ASSERT_EQ("moving", victim->line());
        EXPECT_EQ(std::string("received ") + kSize + " end", victim->line());
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
    expect_right_end(pair.server, Clock::now());
}

}  // namespace
}  // namespace sansock::hostile
