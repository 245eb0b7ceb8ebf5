// What the connections of a burst have borrowed goes back to the system while they rest.
#include <signal.h>

#include <chrono>

#include "outcome.hpp"

namespace sansock::hostile {
namespace {

using Clock = std::chrono::steady_clock;

/// The helper looks for idle buffers some seconds after the last growth, and then ever more rarely.
constexpr auto kToGiveBack = std::chrono::seconds(30);
constexpr int kConnections = 16;
/// The head of an arena, and of each connection the pages of its slot.
constexpr long kLeastKiB = 64 + 16 * kConnections;

/// The newest that it says; -1: it says something else.
long kib_of(Victim &victim) {
    long kib = -1;
    const std::string line = victim.line();
    std::sscanf(line.c_str(), "holds %ld KiB", &kib);
    return kib;
}

TEST(Idle, ConnectionsGiveBackWhatABurstHasTaken) {
    const Launch launch{.program = SANSOCK_BURST};
    const std::string count = std::to_string(kConnections);
    Victim server({"accept", count}, launch);
    Victim client({"connect", count, std::to_string(server.port())}, launch);
    for (Victim *victim : {&server, &client}) {
        const long taken = kib_of(*victim);
        ASSERT_GT(taken, 2 * kLeastKiB) << victim->log();
        const auto begun = Clock::now();
        long kib = taken;
        while (kib > kLeastKiB && kib >= 0 && Clock::now() - begun < kToGiveBack) kib = kib_of(*victim);
        EXPECT_GE(kib, 0) << victim->log();
        EXPECT_LE(kib, kLeastKiB) << "of " << taken;
    }
    // They work as ever.
    for (Victim *victim : {&server, &client}) kill(victim->pid(), SIGUSR1);
    EXPECT_EQ("end", client.ending()) << client.log();
    EXPECT_EQ("end", server.ending()) << server.log();
    for (Victim *victim : {&server, &client}) {
        for (const auto &record : victim->records()) EXPECT_EQ("simulated", record["path"]) << record;
        EXPECT_EQ(static_cast<size_t>(kConnections), victim->records().size());
    }
}

}  // namespace
}  // namespace sansock::hostile
