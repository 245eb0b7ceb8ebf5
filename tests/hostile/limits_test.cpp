// A program at the end of what it may have: its connection works, on TCP where there is not enough, and the report says why.
#include <signal.h>

#include <map>
#include <memory>
#include <thread>

#include "outcome.hpp"

namespace sansock::hostile {
namespace {

struct Limit {
    const char *name;
    Launch launch;
    const char *reason;  ///< nullptr: it moves all the same.
};

void PrintTo(const Limit &limit, std::ostream *to) { *to << limit.name; }

class Limits : public testing::TestWithParam<Limit> {};

TEST_P(Limits, LeaveTheConnectionWhole) {
    const Limit &limit = GetParam();
    if (limit.launch.user != 0 && geteuid() != 0) GTEST_SKIP() << "needs root";
    Victim server({"accept"}, limit.launch);
    Launch unlimited;
    unlimited.user = limit.launch.user;
    Victim client({"connect", std::to_string(server.port()), "20000"}, unlimited);
    EXPECT_EQ("end", client.ending()) << client.log();
    EXPECT_EQ("end", server.ending()) << server.log();
    const auto record = server.record();
    ASSERT_TRUE(record.is_object()) << server.log();
    if (limit.reason == nullptr) {
        EXPECT_EQ("simulated", record["path"]) << record;
    } else {
        EXPECT_EQ("tcp", record["path"]) << record;
        EXPECT_EQ(limit.reason, record["reason"]) << record << server.log();
        EXPECT_EQ(0, record["bytes_sent"]["provider"]);
    }
}

const Limit kLimits[] = {
    {"Descriptors", {.limits = {{RLIMIT_NOFILE, 24}}}, "no-resources"},
    {"DescriptorsJustEnough", {.limits = {{RLIMIT_NOFILE, 64}}}, nullptr},
    {"Threads", {.user = 65532, .limits = {{RLIMIT_NPROC, 1}}}, "no-resources"},
    {"LockedMemory", {.limits = {{RLIMIT_MEMLOCK, 0}}}, nullptr},
    {"AddressSpace", {.limits = {{RLIMIT_AS, 300 << 20}}}, "no-resources"},
    {"FileSize", {.limits = {{RLIMIT_FSIZE, 4096}}}, "no-resources"},
};

INSTANTIATE_TEST_SUITE_P(Of, Limits, testing::ValuesIn(kLimits), [](const auto &info) { return std::string(info.param.name); });

/// Not even enough address space to keep book: nothing but the kernel.
TEST(Limits, OfAddressSpaceLeaveTheKernelAlone) {
    Victim server({"accept"}, {.limits = {{RLIMIT_AS, 100 << 20}}});
    Victim client({"connect", std::to_string(server.port()), "2000"});
    EXPECT_EQ("end", client.ending()) << client.log();
    EXPECT_EQ("end", server.ending()) << server.log();
}

/// Every peer process needs an arena: when `max_memory` is full, the next ones stay on TCP, and say why. When some have gone there is room
/// again.
TEST(Limits, OfMemoryKeepTheNextOnesOnTcp) {
    constexpr size_t kClients = 24;
    const Launch little{.config = SANSOCK_HOSTILE_FOLDER "/little_memory.yaml"};
    Victim server({"serve", std::to_string(kClients + 1)}, little);
    const std::string port = std::to_string(server.port());
    {
        std::vector<std::unique_ptr<Victim>> clients;
        while (clients.size() < kClients) clients.push_back(std::make_unique<Victim>(std::vector<std::string>{"connect", port}));
        std::this_thread::sleep_for(std::chrono::seconds(2));  // all have met
        for (const auto &client : clients) EXPECT_TRUE(client->alive()) << client->log();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // what they had is kept for a moment after they have gone
    Victim late({"connect", port, std::to_string(2 * kPatienceMs)});
    EXPECT_EQ("end", late.ending()) << late.log();
    EXPECT_EQ("simulated", late.record()["path"]) << late.record();
    EXPECT_EQ("end", server.ending()) << server.log();
    std::map<std::string, size_t> reasons;
    for (const auto &record : server.records()) {
        ++reasons[record["reason"].is_null() ? "moved" : record["reason"].get<std::string>()];
        if (record["reason"] == "max-memory") {
            EXPECT_EQ(0, record["bytes_sent"]["provider"]);
        }
    }
    EXPECT_GE(reasons["moved"], 8u);
    EXPECT_GE(reasons["max-memory"], 8u);
    EXPECT_EQ(kClients + 1, reasons["moved"] + reasons["max-memory"]) << testing::PrintToString(reasons);
}

TEST(Limits, AtEveryCountOfDescriptorsTheConnectionWorks) {
    for (rlim_t descriptors = 10; descriptors < 40; descriptors += 3) {
        SCOPED_TRACE(descriptors);
        Victim server({"accept"}, {.limits = {{RLIMIT_NOFILE, descriptors}}});
        Victim client({"connect", std::to_string(server.port()), "2000"});
        EXPECT_EQ("end", client.ending()) << client.log();
        EXPECT_EQ("end", server.ending()) << server.log();
    }
}

}  // namespace
}  // namespace sansock::hostile
