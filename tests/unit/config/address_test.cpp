#include "config/address.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace sansock::config {
namespace {

sockaddr_in v4(const char *address, std::uint16_t port) {
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(port);
    EXPECT_EQ(inet_pton(AF_INET, address, &name.sin_addr), 1);
    return name;
}

sockaddr_in6 v6(const char *address, std::uint16_t port) {
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(port);
    EXPECT_EQ(inet_pton(AF_INET6, address, &name.sin6_addr), 1);
    return name;
}

template <class Name>
std::optional<Endpoint> endpoint_of(const Name &name, socklen_t length = sizeof(Name)) {
    return Endpoint::from(reinterpret_cast<const sockaddr *>(&name), length);
}

TEST(Endpoint, IsReadFromBothFamilies) {
    const auto four = endpoint_of(v4("10.1.2.3", 6379)).value();
    EXPECT_EQ(four.address.text(), "10.1.2.3");
    EXPECT_EQ(four.port, 6379);
    const auto six = endpoint_of(v6("fd00::1", 80)).value();
    EXPECT_EQ(six.address.text(), "fd00::1");
    EXPECT_EQ(six.port, 80);
}

TEST(Endpoint, TakesAnIPv4AddressOutOfAnIPv6Socket) {
    const auto mapped = endpoint_of(v6("::ffff:10.1.2.3", 1)).value();
    EXPECT_FALSE(mapped.address.is_v6);
    EXPECT_EQ(mapped.address, endpoint_of(v4("10.1.2.3", 2))->address);
}

TEST(Endpoint, IsNothingForOtherFamiliesAndShortNames) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    EXPECT_FALSE(endpoint_of(local));
    EXPECT_FALSE(endpoint_of(v4("10.1.2.3", 1), sizeof(sockaddr_in) - 1));
    EXPECT_FALSE(endpoint_of(v6("::1", 1), sizeof(sockaddr_in)));
    EXPECT_FALSE(endpoint_of(v4("10.1.2.3", 1), 1));
    EXPECT_FALSE(Endpoint::from(nullptr, 0));
}

TEST(Subnet, HoldsItsAddressesAndNoOthers) {
    const struct {
        const char *subnet, *inside, *outside;
    } cases[] = {
        {"10.0.0.0/8", "10.255.255.255", "11.0.0.0"},
        {"10.0.0.0/9", "10.127.0.1", "10.128.0.0"},
        {"10.1.2.3", "10.1.2.3", "10.1.2.2"},
        {"10.1.2.4/30", "10.1.2.7", "10.1.2.8"},
        {"0.0.0.0/0", "255.255.255.255", "::1"},
        {"fd00::/8", "fdff::1", "fe00::1"},
        {"2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::"},
        {"::1", "::1", "::2"},
        {"::/0", "ffff::", "1.2.3.4"},
        // A mapped prefix is the IPv4 one, and such an address is an IPv4 address.
        {"::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.0"},
        {"10.0.0.0/8", "::ffff:10.9.9.9", "::ffff:11.9.9.9"},
    };
    for (const auto &[text, inside, outside] : cases) {
        const auto subnet = Subnet::parse(text);
        ASSERT_TRUE(subnet) << text << ": " << subnet.error();
        EXPECT_TRUE(subnet->contains(Address::parse(inside).value())) << text << ' ' << inside;
        EXPECT_FALSE(subnet->contains(Address::parse(outside).value())) << text << ' ' << outside;
    }
}

TEST(Subnet, RefusesWhatIsNotOne) {
    const struct {
        const char *text, *error;
    } cases[] = {
        {"", "\"\" is not an IP address or subnet"},
        {"localhost", "\"localhost\" is not an IP address or subnet"},
        {"10.0.0/8", "\"10.0.0/8\" is not an IP address or subnet"},
        {"10.0.0.0/", "\"10.0.0.0/\" has a bad prefix length (0 to 32)"},
        {"10.0.0.0/33", "\"10.0.0.0/33\" has a bad prefix length (0 to 32)"},
        {"10.0.0.0/-1", "\"10.0.0.0/-1\" has a bad prefix length (0 to 32)"},
        {"::/129", "\"::/129\" has a bad prefix length (0 to 128)"},
        {"10.1.0.0/8", "\"10.1.0.0/8\" has bits behind its prefix (did you mean \"10.0.0.0/8\"?)"},
        {"fd00::1/64", "\"fd00::1/64\" has bits behind its prefix (did you mean \"fd00::/64\"?)"},
    };
    for (const auto &[text, error] : cases) {
        const auto subnet = Subnet::parse(text);
        ASSERT_FALSE(subnet) << text;
        EXPECT_EQ(subnet.error(), error);
    }
}

TEST(PortRange, ReadsOnePortAndARange) {
    EXPECT_EQ(PortRange::parse("1"), (PortRange{1, 1}));
    EXPECT_EQ(PortRange::parse("65535"), (PortRange{65535, 65535}));
    EXPECT_EQ(PortRange::parse("7000-7999"), (PortRange{7000, 7999}));
    EXPECT_EQ(PortRange::parse("80-80"), (PortRange{80, 80}));
}

TEST(PortRange, RefusesWhatIsNotOne) {
    for (const char *text : {"", "0", "65536", "-1", "80-", "-80", "0-80", "80-65536", "8o", "80-90-100", "90-80", "80 - 90"})
        EXPECT_FALSE(PortRange::parse(text)) << text;
}

}  // namespace
}  // namespace sansock::config
