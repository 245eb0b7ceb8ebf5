// Why a connection left its provider, or never went there: both reports say it, and every byte is right.
#include "config_file.hpp"
#include "outcome.hpp"

namespace sansock::hostile {
namespace {

using Steps = std::vector<std::string>;

/// An end that has seen the provider, and does not know of its return, or not why.
constexpr const char *kUntold = "";

/// The end that does it connects, or accepts.
struct Deed {
    const char *name;
    Steps doer, other;
    std::string reason;
    /// Of the end that has done nothing. Empty: the same as that of the other.
    std::vector<std::string> told = {};
};

void PrintTo(const Deed &deed, std::ostream *to) { *to << deed.name; }

class Both : public testing::TestWithParam<std::tuple<Deed, bool>> {
protected:
    /// A connection moves after fifty calls.
    Both()
        : file(std::string("providers:\n  ") + kMemory + ":\n    plugin: simulated\n" +
               "upgrade_after: {calls: 50, bytes: 1 MiB}\ntimeouts: {rendezvous: 400ms}\n"),
          deed(std::get<Deed>(GetParam())) {}
    void begin() {
        const Launch launch{.program = SANSOCK_STEPS, .config = file.path()};
        const bool doer_connects = std::get<bool>(GetParam());
        Steps accepting{"accept"}, connecting{"connect"};
        const Steps &here = doer_connects ? deed.other : deed.doer, &there = doer_connects ? deed.doer : deed.other;
        accepting.insert(accepting.end(), here.begin(), here.end());
        server.emplace(accepting, launch);
        connecting.push_back(std::to_string(server->port()));
        connecting.insert(connecting.end(), there.begin(), there.end());
        client.emplace(connecting, launch);
        doer = doer_connects ? &*client : &*server;
        other = doer_connects ? &*server : &*client;
    }
    void expect_reasons(int upgrades, int steps_back) {
        const auto told = deed.told.empty() ? std::vector<std::string>{deed.reason} : deed.told;
        for (Victim *victim : {doer, other}) {
            const auto record = victim->record();
            ASSERT_TRUE(record.is_object()) << victim->log();
            const std::string reason = record["reason"].is_string() ? record["reason"] : kUntold;
            EXPECT_EQ(reason == kUntold ? "simulated" : "tcp", record["path"]) << record;
            if (victim == doer) {
                EXPECT_EQ(deed.reason, reason) << record;
            } else {
                EXPECT_THAT(told, testing::Contains(reason)) << record;
            }
            EXPECT_LE(record["upgrades"], upgrades) << record;
            EXPECT_GE(record["step_backs"], steps_back) << record;
        }
    }
    ConfigFile file;
    const Deed deed;
    std::optional<Victim> server, client;
    Victim *doer = nullptr, *other = nullptr;
};

std::string name_of(const testing::TestParamInfo<std::tuple<Deed, bool>> &info) {
    return std::string(std::get<Deed>(info.param).name) + (std::get<bool>(info.param) ? "Connecting" : "Accepting");
}

class Before : public Both {};

/// Neither the doer nor its peer, which may wait for it in vain, moves.
TEST_P(Before, TheMoveKeepsTheConnectionOnTcp) {
    begin();
    EXPECT_EQ("end", client->ending()) << client->log();
    EXPECT_EQ("end", server->ending()) << server->log();
    expect_reasons(0, 0);
}

/// Three round trips, what is done and what the other end does meanwhile, then traffic past the time that a meeting may take.
Deed before(const char *name, Steps doer, Steps other, const std::string &reason, std::vector<std::string> told) {
    for (Steps *steps : {&doer, &other}) {
        steps->insert(steps->begin(), "talk=3");
        steps->insert(steps->end(), {"talk=100", "pause=600", "talk=50"});
    }
    return {name, doer, other, reason, std::move(told)};
}

const std::vector<std::string> kAlone{"peer-silent", "peer-declined"};
const Deed kBefore[] = {
    before("StandardIo", {"fdopen"}, {}, "standard-io", kAlone),
    before("PrintedTo", {"dprintf=64"}, {"receive=64"}, "standard-io", kAlone),
    before("OntoStandardInput", {"onto-stdin"}, {}, "standard-io", kAlone),
    before("Passed", {"pass"}, {}, "passed-fd", kAlone),
    before("Asynchronous", {"async"}, {}, "unmodelled-call", kAlone),
    before("OptionOfTheKernel", {"oob-inline"}, {}, "unmodelled-call", kAlone),
    before("Spliced", {"splice=4096"}, {"receive=4096"}, "unmodelled-call", kAlone),
    before("Rings", {"wish-for-ring"}, {}, "io-uring", kAlone),
    {"HalfClosed",
     {"talk=3", "half-close", "receive=4194304"},
     {"talk=3", "ended", "send=4194304"},
     "half-closed",
     {"half-closed", "peer-silent", "not-yet"}},
};

INSTANTIATE_TEST_SUITE_P(Of, Before, testing::Combine(testing::ValuesIn(kBefore), testing::Bool()), name_of);

class Unseen : public Both {};

/// Whoever counts other bytes than the kernel does keeps its direction on TCP, or takes back what has moved: at most one has, once.
TEST_P(Unseen, BytesKeepTheConnectionOnTcp) {
    begin();
    EXPECT_EQ("end", client->ending()) << client->log();
    EXPECT_EQ("end", server->ending()) << server->log();
    expect_reasons(1, 0);
}

const Deed kUnseen[] = {
    before("FirstWrite", {"unseen-write=64"}, {"receive=64"}, "unseen-io", {"unseen-io", "not-yet", kUntold}),
    before("FirstRead", {"unseen-read=64"}, {"send=64"}, "unseen-io", {"unseen-io", "not-yet", kUntold}),
    before("LargeWrite", {"unseen-write=100000"}, {"receive=100000"}, "unseen-io", {"unseen-io", "not-yet", kUntold}),
    before("LargeRead", {"unseen-read=100000"}, {"send=100000"}, "unseen-io", {"unseen-io", "not-yet", kUntold}),
};

INSTANTIATE_TEST_SUITE_P(Of, Unseen, testing::Combine(testing::ValuesIn(kUnseen), testing::Bool()), name_of);

class After : public Both {};

TEST_P(After, TheMoveTakesTheConnectionBackToTcp) {
    begin();
    EXPECT_EQ("end", client->ending()) << client->log();
    EXPECT_EQ("end", server->ending()) << server->log();
    expect_reasons(1, 1);
}

Deed after(const char *name, Steps doer, Steps other, const std::string &reason) {
    for (Steps *steps : {&doer, &other}) {
        steps->insert(steps->begin(), "move");
        steps->insert(steps->end(), {"talk=200", "bulk=600000"});
    }
    return {name, doer, other, reason};
}

const Deed kAfter[] = {
    after("StandardIo", {"fdopen"}, {}, "standard-io"),
    after("PrintedTo", {"dprintf=64"}, {"receive=64"}, "standard-io"),
    after("OntoStandardInput", {"onto-stdin"}, {}, "standard-io"),
    after("Passed", {"pass"}, {}, "passed-fd"),
    after("Asynchronous", {"async"}, {}, "unmodelled-call"),
    after("OptionOfTheKernel", {"oob-inline"}, {}, "unmodelled-call"),
    after("Spliced", {"splice=4096"}, {"receive=4096"}, "unmodelled-call"),
    after("Rings", {"wish-for-ring"}, {}, "io-uring"),
};

INSTANTIATE_TEST_SUITE_P(Of, After, testing::Combine(testing::ValuesIn(kAfter), testing::Bool()), name_of);

/// A ring that is there before the connection is.
TEST(Rings, OfBeforeKeepEveryConnectionOnTcp) {
    const Launch launch{.program = SANSOCK_STEPS};
    Victim server({"accept", "ring", "talk=100", "pause=600", "talk=10"}, launch);
    Victim client({"connect", std::to_string(server.port()), "talk=100", "talk=10"}, launch);
    const std::string ending = server.ending();
    if (ending.starts_with("error ")) GTEST_SKIP() << "the kernel has no io_uring: " << ending;
    EXPECT_EQ("end", ending);
    EXPECT_EQ("end", client.ending());
    EXPECT_EQ("io-uring", server.record()["reason"]) << server.record();
    EXPECT_THAT(client.record()["reason"], testing::AnyOf("peer-silent", "peer-declined")) << client.record();
}

/// Bytes of somebody else's on TCP, while the stream is on the provider.
class Intruder : public Both {};

/// Whoever finds it, the reader beside its provider or a step back that compares the kernel's counts, says so to the other.
TEST_P(Intruder, ResetsBothEnds) {
    begin();
    // No byte is wrong, and none of the two hears of a good end.
    const auto reset = testing::AnyOf(testing::StartsWith("error ECONNRESET"), testing::StartsWith("error EPIPE"));
    EXPECT_THAT(client->ending(), reset) << client->log();
    EXPECT_THAT(server->ending(), reset) << server->log();
    for (Victim *victim : {doer, other}) {
        const auto record = victim->record();
        ASSERT_TRUE(record.is_object()) << victim->log();
        EXPECT_EQ("foreign-bytes", record["reason"]) << record;
        EXPECT_EQ(1, record["upgrades"]);
    }
}

const Deed kIntrusions[] = {
    {"WhileNobodyStepsBack", {"move", "intrude=16", "pause=100", "talk=10"}, {"move", "talk=10"}, "foreign-bytes"},
    {"WhileIdle", {"move", "intrude=16", "pause=100", "fdopen", "talk=10"}, {"move", "talk=10"}, "foreign-bytes"},
    {"WhileIdleFoundByTheOther",
     {"move", "intrude=16", "pause=100", "talk=10"},
     {"move", "pause=50", "fdopen", "talk=10"},
     "foreign-bytes"},
    {"WhileTalking", {"move", "talk=50", "intrude=1", "talk=500", "fdopen", "talk=10"}, {"move", "talk=560"}, "foreign-bytes"},
    {"WhileTalkingFoundByTheOther",
     {"move", "talk=50", "intrude=1", "talk=510"},
     {"move", "talk=550", "fdopen", "talk=10"},
     "foreign-bytes"},
    {"OfMuch", {"move", "talk=50", "intrude=100000", "talk=500", "fdopen", "talk=10"}, {"move", "talk=560"}, "foreign-bytes"},
};

INSTANTIATE_TEST_SUITE_P(Of, Intruder, testing::Combine(testing::ValuesIn(kIntrusions), testing::Bool()), name_of);

/// Just before the end there may be no time to notice. No byte of it is delivered for all that.
class Unnoticed : public Both {};

TEST_P(Unnoticed, IntrudersAreNotDelivered) {
    begin();
    const auto right = testing::AnyOf("end", testing::StartsWith("error ECONNRESET"), testing::StartsWith("error EPIPE"));
    EXPECT_THAT(client->ending(), right) << client->log();
    EXPECT_THAT(server->ending(), right) << server->log();
}

const Deed kUnnoticed[] = {
    {"WhileTalking", {"move", "talk=50", "intrude=64", "talk=1000"}, {"move", "talk=1050"}, ""},
    {"BeforeTheEnd", {"move", "talk=50", "intrude=64"}, {"move", "talk=50"}, ""},
    {"AndBulk", {"move", "bulk=100000", "intrude=4096", "bulk=4000000"}, {"move", "bulk=100000", "bulk=4000000"}, ""},
};

INSTANTIATE_TEST_SUITE_P(Of, Unnoticed, testing::Combine(testing::ValuesIn(kUnnoticed), testing::Bool()), name_of);

}  // namespace
}  // namespace sansock::hostile
