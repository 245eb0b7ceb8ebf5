#include <gtest/gtest.h>

#include <chrono>

#include "config/describe.hpp"
#include "support.hpp"

namespace sansock::config {
namespace {

using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

Config config_of(const std::string &text) {
    auto loaded = load_text(text, "f", host_of_tests());
    if (!loaded.config) throw std::runtime_error(loaded.config.error().front().format());
    return *std::move(loaded.config);
}

void expect_defaults(const Config &sut) {
    EXPECT_EQ(sut.upgrade_after.calls, 4u);
    EXPECT_EQ(sut.upgrade_after.bytes, 64u << 10);
    EXPECT_EQ(sut.waiting.policy, WaitPolicy::adaptive);
    EXPECT_EQ(sut.waiting.spin_max, 100us);
    EXPECT_EQ(sut.timeouts.step, 5s);
    EXPECT_EQ(sut.timeouts.rendezvous, 1s);
    EXPECT_EQ(sut.timeouts.require, 1s);
    EXPECT_EQ(sut.timeouts.path, 30s);
    EXPECT_EQ(sut.timeouts.return_after, 5s);
    EXPECT_EQ(sut.logging.level, LogLevel::warning);
    EXPECT_EQ(sut.logging.file, "");
    EXPECT_TRUE(sut.access.allow.empty());

    ASSERT_EQ(sut.providers.size(), 1u);
    const Provider &provider = sut.providers[0];
    EXPECT_EQ(provider.guid.text(), "41f96c03-1cad-4222-9c2b-682b71c6a8f0");
    EXPECT_EQ(provider.plugin, "simulated");
    EXPECT_EQ(provider.send_buffers, 5u);
    EXPECT_EQ(provider.receive_buffers, 6u);
    EXPECT_EQ(provider.buffer_size, 64u << 10);
    EXPECT_EQ(provider.max_memory, 256u << 20);
    EXPECT_EQ(provider.rdma_threshold, 0u);
    EXPECT_EQ(provider.block_yaml, "");

    ASSERT_EQ(sut.routes.size(), 1u);
    const Route &route = sut.routes[0];
    EXPECT_TRUE(route.destinations.empty());
    EXPECT_TRUE(route.ports.empty());
    EXPECT_TRUE(route.programs.empty());
    EXPECT_EQ(route.providers, std::vector{provider.guid});
    EXPECT_EQ(route.policy, Policy::prefer);
    EXPECT_EQ(route.upgrade_after.calls, 4u);
    EXPECT_EQ(route.upgrade_after.bytes, 64u << 10);
}

TEST(Load, TheEmbeddedDefaultIsEveryDefault) { expect_defaults(embedded_default()); }

TEST(Load, AFileThatSaysNothingIsTheDefault) {
    for (const char *text : {"", "# nothing\n", "---\n", "{}", "waiting:\ntimeouts: {}\n"}) {
        SCOPED_TRACE(text);
        const auto loaded = load_text(text, "f", host_of_tests());
        ASSERT_TRUE(loaded.config);
        expect_defaults(*loaded.config);
        EXPECT_EQ(formatted(loaded.notes), std::vector<std::string>{});
    }
}

TEST(Load, ReadsEverySetting) {
    const Config sut = config_of(R"(
routes:
  - providers: [22222222-2222-2222-2222-222222222222, "{11111111-1111-1111-1111-111111111111}"]
    policy: require
    destination: [10.0.0.0/8, "fd00::/8"]
    port: [22, 80-90]
    program: nginx
    upgrade_after: {bytes: 1 MiB}
  - policy: forbid
providers:
  "{11111111-1111-1111-1111-111111111111}":
    plugin: simulated
    send_buffers: 9
    receive_buffers: 10
    buffer_size: 128KiB
    max_memory: 1 GiB
    rdma_threshold: 8192
  22222222-2222-2222-2222-222222222222:
    plugin: simulated
upgrade_after: {calls: 7, bytes: 100}
waiting: {policy: park, spin: 0}
logging: {level: debug, target: /var/log/sansock.log}
access: {allow: [[redis, 1000]]}
timeouts: {step: 100ms, rendezvous: 20ms, require: 60s, path: 600s, return: 50ms}
)");
    ASSERT_EQ(sut.providers.size(), 2u);
    const Provider &provider = sut.providers[0];
    EXPECT_EQ(provider.guid.text(), kOne);
    EXPECT_EQ(provider.send_buffers, 9u);
    EXPECT_EQ(provider.receive_buffers, 10u);
    EXPECT_EQ(provider.buffer_size, 128u << 10);
    EXPECT_EQ(provider.max_memory, 1u << 30);
    EXPECT_EQ(provider.rdma_threshold, 8192u);
    EXPECT_EQ(provider.position, (Position{11, 3}));
    EXPECT_EQ(provider.origin, "f:11");
    EXPECT_EQ(sut.find(sut.providers[1].guid), &sut.providers[1]);

    ASSERT_EQ(sut.routes.size(), 2u);
    const Route &route = sut.routes[0];
    EXPECT_EQ(route.providers, (std::vector{sut.providers[1].guid, sut.providers[0].guid}));
    EXPECT_EQ(route.policy, Policy::require);
    EXPECT_EQ(route.destinations, (std::vector{Subnet::parse("10.0.0.0/8").value(), Subnet::parse("fd00::/8").value()}));
    EXPECT_EQ(route.ports, (std::vector{PortRange{22, 22}, PortRange{80, 90}}));
    EXPECT_EQ(route.programs, std::vector<std::string>{"nginx"});
    EXPECT_EQ(route.upgrade_after.calls, 7u) << "what the route leaves out is the file's, wherever that stands";
    EXPECT_EQ(route.upgrade_after.bytes, 1u << 20);
    EXPECT_EQ(sut.routes[1].policy, Policy::forbid);
    EXPECT_EQ(sut.routes[1].upgrade_after.bytes, 100u);

    EXPECT_EQ(sut.waiting.policy, WaitPolicy::park);
    EXPECT_EQ(sut.waiting.spin_max, 0ns);
    EXPECT_EQ(sut.logging.level, LogLevel::debug);
    EXPECT_EQ(sut.logging.file, "/var/log/sansock.log");
    ASSERT_EQ(sut.access.allow.size(), 1u);
    EXPECT_EQ(sut.access.allow[0][0].name, "redis");
    EXPECT_EQ(sut.access.allow[0][0].uid, 100u);
    EXPECT_EQ(sut.access.allow[0][1].uid, 1000u);
    EXPECT_EQ(sut.timeouts.step, 100ms);
    EXPECT_EQ(sut.timeouts.rendezvous, 20ms);
    EXPECT_EQ(sut.timeouts.require, 60s);
    EXPECT_EQ(sut.timeouts.path, 600s);
    EXPECT_EQ(sut.timeouts.return_after, 50ms);
}

TEST(Load, UnquotedBracesAroundAGuidAreUnderstood) {
    const Config sut =
        config_of(std::string("providers:\n  {") + kOne + "}:\n    plugin: simulated\n" + "routes:\n  - providers: [{" + kOne + "}]\n");
    EXPECT_EQ(sut.providers.at(0).guid.text(), kOne);
    EXPECT_EQ(sut.routes.at(0).providers.at(0).text(), kOne);
}

TEST(Load, WithoutRoutesEveryProviderIsPreferredInTheFilesOrder) {
    const Config sut = config_of(std::string("providers:\n  ") + kTwo + ": {plugin: simulated}\n  " + kOne + ": {plugin: simulated}\n");
    ASSERT_EQ(sut.routes.size(), 1u);
    EXPECT_EQ(sut.routes[0].policy, Policy::prefer);
    EXPECT_EQ(sut.routes[0].providers, (std::vector{Guid::parse(kTwo).value(), Guid::parse(kOne).value()}));
}

TEST(Load, HandsTheBlocksOnAsOneMappingThatKeepsItsLines) {
    const auto block = [](const std::string &line) { return config_of(with_provider(line)).providers.at(0).block_yaml; };
    EXPECT_EQ(block("options: {}"), "{\n\n\"options\": {}}") << "two lines below the GUID";
    EXPECT_EQ(block("simulation: {a: 1}\n    options:\n      b: 2\n\n      c: 3"),
              "{\n\n\"simulation\": {\"a\": 1}, \n\"options\": \n{\"b\": 2, \n\n\"c\": 3}}");
}

TEST(Load, HandsBlocksOnWithTheTypesThatTheyHave) {
    const auto block = [](const std::string &values) {
        return config_of(with_provider("options: {" + values + "}")).providers.at(0).block_yaml;
    };
    EXPECT_EQ(block("a: 20us, b: 0.01, c: 7, d: true, e: ~, f: '5', g: [1, x y]"),
              R"({

"options": {"a": "20us", "b": 0.01, "c": 7, "d": true, "e": null, "f": "5", "g": [1, "x y"]}})");
    EXPECT_EQ(block(R"(1: "say \"x\"\n", octal: 010, dot: .5)"), R"({

"options": {"1": "say \"x\"\n", "octal": "010", "dot": ".5"}})");
}

TEST(Load, NotesWhatIsWorthKnowing) {
    const auto loaded =
        load_text(std::string("providers:\n  ") + kOne + ": {plugin: absent}\n  " + kTwo +
                      ": {plugin: simulated}\nroutes:\n  - providers: [" + kOne + "]\naccess: {allow: [[redis, stranger]]}\n",
                  "f", host_of_tests());
    ASSERT_TRUE(loaded.config) << "none of this is an error";
    EXPECT_EQ(loaded.config->providers.size(), 2u) << "the block is kept";
    EXPECT_EQ(formatted(loaded.notes), (std::vector<std::string>{
                                           "f:2:3: note: plugin \"absent\" is not installed; the block is kept, and connections pass this "
                                           "provider over",
                                           "f:3:3: note: no route names this provider",
                                           "f:6:26: note: user \"stranger\" does not exist on this host",
                                       }));
}

TEST(Load, HandsAThresholdOnInBytes) {
    const auto block = [](const std::string &line) { return config_of(with_provider(line)).providers.at(0).block_yaml; };
    EXPECT_EQ(block("rdma_threshold: 64 KiB\n    options: {}"), "{\n\n\"rdma_threshold\": 65536, \n\"options\": {}}");
    EXPECT_EQ(block("rdma_threshold: 0"), "") << "that leaves it to the plugin";
}

TEST(Load, NotesRequiredRoutesThatNothingServesHere) {
    const std::string providers =
        std::string("providers:\n  ") + kOne + ": {plugin: absent}\n  " + kTwo + ": {plugin: simulated}\nroutes:\n";
    const auto notes = [&](const std::string &routes) {
        Lines found = formatted(load_text(providers + routes, "f", host_of_tests()).notes);
        std::erase_if(found, [](const std::string &note) { return note.find("required route") == std::string::npos; });
        return found;
    };
    EXPECT_EQ(
        notes(std::string("  - {policy: require, port: 1, providers: ") + kOne + "}\n  - {providers: [" + kOne + ", " + kTwo + "]}\n"),
        Lines{"f:5:5: note: no provider of this required route is installed: its connections fail here"});
    EXPECT_EQ(notes(std::string("  - {policy: require, providers: [") + kOne + ", " + kTwo + "]}\n"), Lines{});
    EXPECT_EQ(notes(std::string("  - {policy: prefer, providers: ") + kOne + "}\n"), Lines{});
}

TEST(Load, NotesAFolderForTheLogThatIsNotThere) {
    auto host = host_of_tests();
    host.has_folder = [](const std::string &path) { return path == "/" || path == "/var/log"; };
    const auto notes = [&](const std::string &target) {
        return formatted(load_text("logging: {target: " + target + "}\n", "f", host).notes);
    };
    EXPECT_EQ(notes("/var/logs/a.log"), Lines{"f:1:19: note: there is no folder \"/var/logs\" on this host: nothing will be logged"});
    for (const char *fine : {"/var/log/a.log", "/a.log", "stderr"}) EXPECT_EQ(notes(fine), Lines{}) << fine;
}

TEST(Load, SaysNothingAboutPluginsThatNobodyAskedFor) {
    const auto loaded = load_text(std::string("providers:\n  ") + kOne + ": {plugin: absent}\n", "f", Host{});
    ASSERT_TRUE(loaded.config);
    EXPECT_EQ(formatted(loaded.notes), std::vector<std::string>{});
}

TEST(Load, TheUsualHostKnowsTheSystemsUsers) {
    const auto loaded = load_text("access: {allow: [[root, no-such-user-here]]}", "f");
    ASSERT_TRUE(loaded.config);
    EXPECT_EQ(loaded.config->access.allow.at(0).at(0).uid, 0u);
    EXPECT_EQ(loaded.config->access.allow.at(0).at(1).uid, std::nullopt);
}

struct Range {
    const char *name;
    std::string before, after;  ///< What the value stands between.
    std::string low, high, too_low, too_high;
};

void PrintTo(const Range &range, std::ostream *out) { *out << range.name; }

class EveryRange : public testing::TestWithParam<Range> {
protected:
    static std::vector<std::string> errors_with(const std::string &value) {
        return errors_of(GetParam().before + value + GetParam().after);
    }

    static void expect_error(const std::string &value, const std::string &problem) {
        const auto errors = errors_with(value);
        ASSERT_EQ(errors.size(), 1u) << value;
        EXPECT_NE(errors[0].find(": " + value + problem + "; allowed: "), std::string::npos) << errors[0];
    }
};

TEST_P(EveryRange, EndsWhereItSays) {
    EXPECT_EQ(errors_with(GetParam().low), std::vector<std::string>{});
    EXPECT_EQ(errors_with(GetParam().high), std::vector<std::string>{});
    if (!GetParam().too_low.empty()) expect_error(GetParam().too_low, " is too small");
    expect_error(GetParam().too_high, " is too large");
}

Range of_provider(const char *name, const char *low, const char *high, const char *too_low, const char *too_high,
                  const char *besides = "max_memory: 1024 GiB") {
    return {name,    std::string("providers: {") + kOne + ": {plugin: simulated, " + besides + ", " + name + ": ", "}}", low, high, too_low,
            too_high};
}

Range of_group(const char *group, const char *name, const char *low, const char *high, const char *too_low, const char *too_high) {
    return {name, std::string(group) + ": {" + name + ": ", "}", low, high, too_low, too_high};
}

INSTANTIATE_TEST_SUITE_P(Settings, EveryRange,
                         testing::Values(of_provider("send_buffers", "5", "255", "4", "256"),
                                         of_provider("receive_buffers", "6", "255", "5", "256"),
                                         of_provider("buffer_size", "4096", "1 MiB", "2 KiB", "2 MiB"),
                                         of_provider("max_memory", "1 MiB", "1024 GiB", "1048575", "1025 GiB", "buffer_size: 4 KiB"),
                                         of_provider("rdma_threshold", "0", "1 GiB", "", "2 GiB"),
                                         of_group("upgrade_after", "calls", "0", "1000000", "-1", "1000001"),
                                         of_group("upgrade_after", "bytes", "0", "1024 GiB", "", "99999999999999999999999"),
                                         of_group("waiting", "spin", "0", "1ms", "", "1001us"),
                                         of_group("timeouts", "step", "100ms", "60s", "99999us", "61s"),
                                         of_group("timeouts", "rendezvous", "10ms", "60s", "9ms", "60001ms"),
                                         of_group("timeouts", "require", "10ms", "60s", "9ms", "9999999999999s"),
                                         of_group("timeouts", "path", "100ms", "600s", "99ms", "601s")),
                         [](const auto &info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sansock::config
