// What an operator may write for the portable provider, and what addresses it takes for those of hosts.
#include <gmock/gmock.h>

#include <sansock/sdk/cpp/failure.hpp>

#include "portable/settings.hpp"

namespace sansock::portable {
namespace {

using ::testing::HasSubstr;

std::string error_of(const char *yaml) {
    try {
        (void)parse_settings(yaml, "f.yaml:3");
        return "no error";
    } catch (const sdk::Failure &failure) {
        EXPECT_EQ(failure.status(), SANSOCK_EINVAL);
        return failure.what();
    }
}

TEST(PortableSettings, AreReadWithTheirUnits) {
    const Settings settings =
        parse_settings("options: {address: 2001:db8::7, ports: 7000-7099, message_max: 64 KiB, connect_timeout: 250ms, timeout: 3s}", "f");
    EXPECT_EQ(settings.address, parse_address("2001:db8::7"));
    EXPECT_EQ(settings.ports.first, 7000);
    EXPECT_EQ(settings.ports.last, 7099);
    EXPECT_EQ(settings.message_bytes_max, 64U * 1024);
    EXPECT_EQ(settings.connect_timeout_ns, 250'000'000U);
    EXPECT_EQ(settings.timeout_ns, 3'000'000'000U);
    EXPECT_EQ(parse_settings("options: {ports: 7000}", "f").ports.last, 7000);
    EXPECT_FALSE(parse_settings("", "f").address);
}

TEST(PortableSettings, WrongOnesAreRefusedWithWhatIsAllowed) {
    for (const char *address : {"somewhere", "0.0.0.0", "\"::\"", "224.0.0.1", "fe80::1", "255.255.255.255"}) {
        EXPECT_THAT(error_of((std::string("options: {address: ") + address + "}").c_str()), HasSubstr("write an address of this host"))
            << address;
    }
    for (const char *ports : {"0", "7000-", "-7", "7099-7000", "65536", "7000 - 7001", "http"}) {
        EXPECT_THAT(error_of((std::string("options: {ports: ") + ports + "}").c_str()), HasSubstr("write a port of 1 to 65535")) << ports;
    }
    EXPECT_THAT(error_of("options: {message_max: 1 KiB}"), HasSubstr("4 KiB to 1 MiB"));
    EXPECT_THAT(error_of("options: {connect_timeout: 0}"), HasSubstr("10ms to 60s"));
    EXPECT_THAT(error_of("options: {timeout: 1s}"), HasSubstr("2s to 3600s"));
    EXPECT_THAT(error_of("options: {nagle: on}"), HasSubstr("f.yaml:3: options.nagle is not known"));
}

TEST(PortableAddresses, OnlyThoseOfHostsAreOffered) {
    for (const char *good : {"127.0.0.1", "192.0.2.7", "::1", "2001:db8::7", "::ffff:192.0.2.7"})
        EXPECT_TRUE(names_a_host(*parse_address(good))) << good;
    for (const char *bad : {"0.0.0.0", "::", "224.0.0.1", "ff02::1", "169.254.1.1", "fe80::1", "::ffff:0.0.0.0"}) {
        EXPECT_FALSE(names_a_host(*parse_address(bad))) << bad;
    }
}

}  // namespace
}  // namespace sansock::portable
