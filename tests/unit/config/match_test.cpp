#include <gtest/gtest.h>

#include "support.hpp"

namespace sansock::config {
namespace {

Config config_of(const std::string &text) {
    auto loaded = load_text(text, "f", host_of_tests());
    if (!loaded.config) throw std::runtime_error(loaded.config.error().front().format());
    return *std::move(loaded.config);
}

Endpoint at(const char *address, std::uint16_t port) { return {Address::parse(address).value(), port}; }

/// The index of the route that matches, or -1.
int matched(const Config &config, const Endpoint &server, std::string_view program) {
    const Route *route = match(config, server, program);
    return route == nullptr ? -1 : static_cast<int>(route - config.routes.data());
}

const std::string kHead = "providers: {" + std::string(kOne) + ": {plugin: simulated}}\n" + "routes:\n";
const std::string kUse = "providers: [" + std::string(kOne) + "]";

TEST(Match, TakesTheFirstRouteThatCovers) {
    const Config sut = config_of(kHead + "  - {policy: forbid, port: 22}\n" +       //
                                 "  - {destination: 10.0.0.0/8, " + kUse + "}\n" +  //
                                 "  - {destination: [10.0.0.0/7, ::1], " + kUse + "}\n");
    EXPECT_EQ(matched(sut, at("10.0.0.1", 22), "x"), 0);
    EXPECT_EQ(matched(sut, at("10.0.0.1", 23), "x"), 1);
    EXPECT_EQ(matched(sut, at("11.0.0.1", 23), "x"), 2);
    EXPECT_EQ(matched(sut, at("::1", 23), "x"), 2);
    EXPECT_EQ(matched(sut, at("12.0.0.1", 23), "x"), -1);
    EXPECT_EQ(matched(sut, at("::2", 23), "x"), -1);
}

TEST(Match, NeedsDestinationPortAndProgram) {
    const Config sut = config_of(kHead + "  - {destination: 10.0.0.0/8, port: [80, 90-99], program: [a, b], " + kUse + "}\n");
    EXPECT_EQ(matched(sut, at("10.0.0.1", 80), "a"), 0);
    EXPECT_EQ(matched(sut, at("10.0.0.1", 90), "b"), 0);
    EXPECT_EQ(matched(sut, at("10.0.0.1", 99), "b"), 0);
    EXPECT_EQ(matched(sut, at("10.0.0.1", 100), "b"), -1);
    EXPECT_EQ(matched(sut, at("10.0.0.1", 81), "a"), -1);
    EXPECT_EQ(matched(sut, at("10.0.0.1", 80), "ab"), -1);
    EXPECT_EQ(matched(sut, at("11.0.0.1", 80), "a"), -1);
}

TEST(Match, SeesIPv4ThroughIPv6Sockets) {
    const Config sut = config_of(kHead + "  - {destination: 10.0.0.0/8, " + kUse + "}\n");
    EXPECT_EQ(matched(sut, at("::ffff:10.0.0.1", 80), "a"), 0);
    EXPECT_EQ(matched(sut, at("::ffff:11.0.0.1", 80), "a"), -1);
}

TEST(Match, FindsNothingWithoutRoutes) {
    const Config sut = config_of("providers: {" + std::string(kOne) + ": {plugin: simulated}}\nroutes: []\n");
    EXPECT_EQ(match(sut, at("10.0.0.1", 80), "a"), nullptr);
}

TEST(MayShare, IsAllowedWithinAGroupAndWithOneself) {
    const Config sut = config_of("access: {allow: [[redis, www-data], [www-data, 1000], [nobody-here, 2000]]}\n");
    EXPECT_TRUE(may_share(sut, 7, 7));
    EXPECT_TRUE(may_share(sut, 100, 33));
    EXPECT_TRUE(may_share(sut, 33, 100));
    EXPECT_TRUE(may_share(sut, 33, 1000));
    EXPECT_FALSE(may_share(sut, 100, 1000)) << "being in two groups does not join them";
    EXPECT_FALSE(may_share(sut, 100, 7));
    EXPECT_FALSE(may_share(sut, 0, 100)) << "root is a user like any other";
    EXPECT_FALSE(may_share(sut, 2000, static_cast<uid_t>(-1))) << "an unknown user is nobody";
}

TEST(RequiresUpgrade, IsTrueWhenSomeRouteDoes) {
    EXPECT_FALSE(requires_upgrade(embedded_default()));
    EXPECT_TRUE(requires_upgrade(config_of(kHead + "  - {policy: forbid, port: 22}\n  - {policy: require, " + kUse + "}\n")));
}

}  // namespace
}  // namespace sansock::config
