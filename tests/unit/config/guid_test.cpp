#include "config/guid.hpp"

#include <gtest/gtest.h>

namespace sansock::config {
namespace {

constexpr const char *kCanonical = "01234567-89ab-cdef-0123-456789abcdef";

TEST(Guid, ReadsEveryCustomaryForm) {
    for (const char *text : {kCanonical, "01234567-89AB-CDEF-0123-456789ABCDEF", "01234567-89ab-CDEF-0123-456789AbCdEf",
                             "{01234567-89ab-cdef-0123-456789abcdef}", "{01234567-89AB-CDEF-0123-456789ABCDEF}"}) {
        const auto guid = Guid::parse(text);
        ASSERT_TRUE(guid) << text;
        EXPECT_EQ(guid->text(), kCanonical) << text;
    }
}

TEST(Guid, KeepsBytesInTheOrderOfTheText) {
    const auto guid = Guid::parse(kCanonical).value();
    EXPECT_EQ(guid.bytes[0], 0x01);
    EXPECT_EQ(guid.bytes[7], 0xef);
    EXPECT_EQ(guid.bytes[15], 0xef);
}

TEST(Guid, RefusesEverythingElse) {
    for (const char *text :
         {"", "{}", "0123456789abcdef0123456789abcdef", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-456789abcdef0",
          "{01234567-89ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-0123-456789abcdef}", "(01234567-89ab-cdef-0123-456789abcdef)",
          "g1234567-89ab-cdef-0123-456789abcdef", "0123456-789ab-cdef-0123-456789abcdef", "01234567-89ab-cdef-01234-56789abcdef",
          "01234567 89ab cdef 0123 456789abcdef", "{{1234567-89ab-cdef-0123-456789abcdef}}"}) {
        EXPECT_FALSE(Guid::parse(text)) << text;
    }
}

}  // namespace
}  // namespace sansock::config
