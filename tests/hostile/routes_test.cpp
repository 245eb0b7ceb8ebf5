// What configurations say about where connections go, and what the reports of both ends say about it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <sstream>

#include "config_file.hpp"
#include "outcome.hpp"

namespace sansock::hostile {
namespace {

const std::string kProviders = std::string("providers:\n  ") + kMemory + ":\n    plugin: simulated\n";
const std::string kAtOnce = "upgrade_after: {calls: 0, bytes: 0}\ntimeouts: {rendezvous: 400ms}\n";

/// A route of the one provider, with this condition; PORT and OTHER in it stand for the server's port and another.
std::string route(const std::string &condition) { return std::string("  - providers: [") + kMemory + "]\n    " + condition + "\n"; }

std::string with(std::string text, const std::string &mark, const std::string &value) {
    for (size_t at; (at = text.find(mark)) != std::string::npos;) text.replace(at, mark.size(), value);
    return text;
}

struct Way {
    const char *name;
    std::string routes;  ///< And what else follows the providers.
    std::string path, reason;
    bool six = false;
    std::string providers = kProviders;
    std::string guid = kMemory;
};

void PrintTo(const Way &way, std::ostream *to) { *to << way.name; }

bool has_six() {
    const UniqueFd fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in6 address{.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    return bind(fd.get(), reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0;
}

class Routes : public testing::TestWithParam<Way> {};

TEST_P(Routes, SayWhereAConnectionGoes) {
    const Way &way = GetParam();
    if (way.six && !has_six()) GTEST_SKIP() << "there is no ::1";
    // The server reads its file when it starts, and so before it has a port; routes go by the port that it has found free.
    std::string port;
    {
        const Peer probe = Peer::listening();
        port = std::to_string(probe.port());
    }
    const auto number = [&port](int more) { return std::to_string(std::stoi(port) + more); };
    std::string routes = with(with(way.routes, "PORT", port), "OTHER", number(-1));
    routes = with(with(routes, "BELOW", number(-20)), "ABOVE", number(20));
    const ConfigFile file(way.providers + routes + kAtOnce);
    const Launch launch{.program = SANSOCK_STEPS, .config = file.path()};
    const std::string six = way.six ? "6" : "";
    Victim server({"accept" + six + "=" + port, "talk=500", kHelpersTurn, "talk=2500"}, launch);
    ASSERT_EQ(std::stoi(port), server.port()) << server.log();
    Victim client({"connect" + six, port, "talk=500", kHelpersTurn, "talk=2500"}, launch);
    EXPECT_EQ("end", client.ending()) << client.log();
    EXPECT_EQ("end", server.ending()) << server.log();
    for (Victim *victim : {&server, &client}) {
        const auto record = victim->record();
        ASSERT_TRUE(record.is_object()) << victim->log();
        const uint64_t moved = record["bytes_sent"]["provider"];
        EXPECT_EQ(way.path, record["path"]) << record;
        EXPECT_EQ(3000u * 64u, moved + record["bytes_sent"]["tcp"].get<uint64_t>());
        if (way.path == "tcp") {
            EXPECT_EQ(way.reason, record["reason"]) << record;
            EXPECT_EQ(nullptr, record["provider"]);
            EXPECT_EQ(0, record["upgrades"]);
            EXPECT_EQ(0u, moved);
        } else {
            EXPECT_EQ(nullptr, record["reason"]) << record;
            EXPECT_EQ(way.guid, record["provider"]);
            EXPECT_EQ(1, record["upgrades"]);
            EXPECT_GT(moved, 0u);
        }
    }
}

const std::string kTwo = kProviders + "  " + kOtherMemory + ":\n    plugin: ";
const std::string kEither = std::string("routes:\n  - providers: [") + kOtherMemory + ", " + kMemory + "]\n";

const Way kWays[] = {
    {"Default", "", "simulated", ""},
    {"Forbid", "routes:\n  - policy: forbid\n", "tcp", "forbidden"},
    {"Empty", "routes: []\n", "tcp", "no-route"},
    {"Subnet", "routes:\n" + route("destination: 127.0.0.0/8"), "simulated", ""},
    {"Address", "routes:\n" + route("destination: [10.0.0.0/8, 127.0.0.1]"), "simulated", ""},
    {"SubnetOfOthers", "routes:\n" + route("destination: [10.0.0.0/8, 128.0.0.0/8]"), "tcp", "no-route"},
    {"SubnetOfSix", "routes:\n" + route("destination: \"::/0\""), "tcp", "no-route"},
    {"AddressOfSix", "routes:\n" + route("destination: \"::1\""), "simulated", "", true},
    {"SixAndSubnetOfSix", "routes:\n" + route("destination: \"::/64\""), "simulated", "", true},
    {"SixAndSubnetOfOthers", "routes:\n" + route("destination: \"fd00::/8\""), "tcp", "no-route", true},
    {"SixAndSubnetOfFour", "routes:\n" + route("destination: 0.0.0.0/0"), "tcp", "no-route", true},
    {"Program", "routes:\n" + route("program: [redis-server, hostile_steps]"), "simulated", ""},
    {"ProgramOfOthers", "routes:\n" + route("program: redis-server"), "tcp", "no-route"},
    {"Port", "routes:\n" + route("port: PORT"), "simulated", ""},
    {"PortOfOthers", "routes:\n" + route("port: OTHER"), "tcp", "no-route"},
    {"PortInRange", "routes:\n" + route("port: [22, BELOW-ABOVE]"), "simulated", ""},
    {"PortEndsRange", "routes:\n" + route("port: BELOW-PORT"), "simulated", ""},
    {"PortBehindRange", "routes:\n" + route("port: [22, BELOW-OTHER]"), "tcp", "no-route"},
    {"FirstMatchForbids", "routes:\n  - policy: forbid\n    port: BELOW-ABOVE\n" + route("program: hostile_steps"), "tcp", "forbidden"},
    {"FirstMatchPrefers", "routes:\n" + route("program: hostile_steps") + "  - policy: forbid\n", "simulated", ""},
    {"AllConditionsOfARoute", "routes:\n" + route("port: PORT\n    program: redis-server") + "  - policy: forbid\n", "tcp", "forbidden"},
    {"SecondProviderWhereTheFirstIsNotInstalled", kEither, "simulated", "", false, kTwo + "absent\n"},
    {"NoProviderInstalled", "", "tcp", "no-provider", false, std::string("providers:\n  ") + kMemory + ":\n    plugin: absent\n"},
    {"SecondProviderWhereTheFirstCannotBeOpened", kEither, "simulated", "", false,
     kTwo + "fault\n    options: {wraps: simulated, faults: [{call: open, result: error}]}\n"},
    {"FirstProvider", kEither, "simulated", "", false, kTwo + "simulated\n", kOtherMemory},
    {"WaitsByParking", "waiting: {policy: park}\n", "simulated", ""},
    {"WaitsBySpinning", "waiting: {policy: spin, spin: 50us}\n", "simulated", ""},
    {"WaitsAdaptively", "waiting: {policy: adaptive, spin: 0}\n", "simulated", ""},
};

INSTANTIATE_TEST_SUITE_P(Of, Routes, testing::ValuesIn(kWays), [](const auto &info) { return std::string(info.param.name); });

/// The ends follow their own files: it moves to the first provider of the end that connected that the other one names as well.
TEST(RoutesOfTwoFiles, MeetAtAProviderThatBothName) {
    const ConfigFile both(kTwo + "simulated\n" + kEither + kAtOnce), one(kProviders + kAtOnce);
    for (const bool client_names_both : {false, true}) {
        SCOPED_TRACE(client_names_both);
        Victim server({"accept", "talk=500", kHelpersTurn, "talk=2500"},
                      {.program = SANSOCK_STEPS, .config = (client_names_both ? one : both).path()});
        Victim client({"connect", std::to_string(server.port()), "talk=500", kHelpersTurn, "talk=2500"},
                      {.program = SANSOCK_STEPS, .config = (client_names_both ? both : one).path()});
        EXPECT_EQ("end", client.ending()) << client.log();
        EXPECT_EQ("end", server.ending()) << server.log();
        for (Victim *victim : {&server, &client}) {
            EXPECT_EQ("simulated", victim->record()["path"]) << victim->record();
            EXPECT_EQ(kMemory, victim->record()["provider"]) << victim->record();
        }
    }
}

TEST(RoutesOfTwoFiles, WhereOnlyOneEndForbidsNeitherMoves) {
    const ConfigFile forbids(kProviders + "routes:\n  - policy: forbid\n" + kAtOnce), prefers(kProviders + kAtOnce);
    for (const bool server_forbids : {false, true}) {
        SCOPED_TRACE(server_forbids);
        // The pause is longer than the meeting may take.
        Victim server({"accept", "talk=100", "pause=700", "talk=100"},
                      {.program = SANSOCK_STEPS, .config = (server_forbids ? forbids : prefers).path()});
        Victim client({"connect", std::to_string(server.port()), "talk=100", "talk=100"},
                      {.program = SANSOCK_STEPS, .config = (server_forbids ? prefers : forbids).path()});
        EXPECT_EQ("end", client.ending()) << client.log();
        EXPECT_EQ("end", server.ending()) << server.log();
        Victim &one = server_forbids ? server : client, &other = server_forbids ? client : server;
        EXPECT_EQ("tcp", one.record()["path"]);
        EXPECT_EQ("forbidden", one.record()["reason"]);
        EXPECT_EQ("tcp", other.record()["path"]);
        EXPECT_THAT(other.record()["reason"], testing::AnyOf("peer-silent", "peer-declined")) << other.record();
    }
}

/// What the file of a log has of a connection whose provider is not installed.
std::string logged(const std::string &level, std::string &on_stderr) {
    const ConfigFile file("");
    std::ofstream(file.path()) << "providers:\n  " << kMemory << ":\n    plugin: absent\nlogging: {level: " << level
                               << ", target: " << file.beside("log") << "}\n"
                               << kAtOnce;
    const Launch launch{.program = SANSOCK_STEPS, .config = file.path()};
    Victim server({"accept", "talk=500", kHelpersTurn, "talk=2500"}, launch);
    Victim client({"connect", std::to_string(server.port()), "talk=500", kHelpersTurn, "talk=2500"}, launch);
    EXPECT_EQ("end", client.ending()) << client.log();
    EXPECT_EQ("end", server.ending()) << server.log();
    EXPECT_EQ("no-provider", server.record()["reason"]) << server.record();
    on_stderr = server.log() + client.log();
    std::ostringstream text;
    text << std::ifstream(file.beside("log")).rdbuf();
    return text.str();
}

TEST(Logging, GoesToItsTargetFromItsLevelOn) {
    std::string on_stderr;
    for (const char *level : {"warning", "info", "debug"}) {
        const std::string log = logged(level, on_stderr);
        EXPECT_THAT(log, testing::HasSubstr("is passed over")) << level;
        EXPECT_THAT(on_stderr, testing::Not(testing::HasSubstr("is passed over"))) << level;
    }
    EXPECT_EQ("", logged("error", on_stderr));
}

}  // namespace
}  // namespace sansock::hostile
