// Threads that share an epoll instance: one closes what another looks at.
#include <gtest/gtest.h>

#include "victim.hpp"

namespace sansock::hostile {
namespace {

class Pool : public testing::TestWithParam<const char *> {};

TEST_P(Pool, OfThreadsServesConnectionsThatComeAndGo) {
    const Launch launch{.program = SANSOCK_POOL, .config = SANSOCK_EARLIEST};
    Victim server({"accept", GetParam()}, launch);
    Victim client({"connect", std::to_string(server.port()), "4"}, launch);
    EXPECT_EQ("end", client.ending()) << client.log() << server.log();
    size_t moved = 0;
    for (const auto &record : client.records()) moved += record["path"] == "simulated" ? 1 : 0;
    EXPECT_GT(moved, client.records().size() / 2);
}

INSTANTIATE_TEST_SUITE_P(Modes, Pool, testing::Values("LEVEL", "EDGE"), [](const auto &info) { return std::string(info.param); });

}  // namespace
}  // namespace sansock::hostile
