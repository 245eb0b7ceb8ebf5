#include "pki/certificate.hpp"

#include <gtest/gtest.h>

namespace sansock::pki {
namespace {

TEST(Certificate, NamesHostsAsOthersReachThem) {
    for (const char *right : {"10.0.0.5", "192.168.1.1", "fd00::5", "2001:db8::1", "::ffff:10.0.0.5"})
        EXPECT_TRUE(check_address(right)) << right;
    EXPECT_EQ(check_address("::ffff:10.0.0.5")->text(), "10.0.0.5");
    for (const char *wrong :
         {"", "x", "10.0.0", "10.0.0.5/8", "10.0.0.5:80", "0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "169.254.1.1", "224.0.0.1",
          "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "fe80::1", "febf::1", "ff02::1", "fe80::1%eth0"})
        EXPECT_FALSE(check_address(wrong)) << wrong;
}

TEST(Certificate, TakesNamesThatAreNothingElse) {
    for (const std::string &right : {std::string("a"), std::string("web-1.example.org"), std::string("0x"), std::string(63, 'a')})
        EXPECT_TRUE(check_host(right)) << right;
    for (const std::string &wrong :
         {std::string(), std::string("-a"), std::string(".a"), std::string("../a"), std::string("a/b"), std::string("a,b"),
          std::string("a b"), std::string("ä"), std::string("a\0b", 3), std::string(64, 'a')})
        EXPECT_FALSE(check_host(wrong)) << wrong;
}

TEST(Certificate, ReadsTheTimesThatItWrites) {
    for (const int64_t time : {int64_t{0}, int64_t{1'796'000'000}, int64_t{4'102'444'800}})
        EXPECT_EQ(*parse_time(text_of_time(time)), time);
    for (const char *wrong :
         {"", "now", "2026-11-30", "2026-11-30T12:00:00", "2026-02-30T12:00:00Z", "2026-11-30T12:00:00Zx", "2026-13-01T00:00:00Z"})
        EXPECT_FALSE(parse_time(wrong)) << wrong;
}

TEST(Certificate, IsReadFromPemAlone) {
    EXPECT_FALSE(certificates_of("", "it"));
    EXPECT_FALSE(certificates_of("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "it"));
    EXPECT_FALSE(key_of("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "it"));
    EXPECT_FALSE(crls_of(std::string(1000, '\0'), "it"));
}

}  // namespace
}  // namespace sansock::pki
