#include "base/printable.hpp"

#include <gtest/gtest.h>

namespace sansock {
namespace {

TEST(Printable, LeavesTextAsItIs) {
    EXPECT_EQ(printable(""), "");
    EXPECT_EQ(printable("a \"b\" \\ \u00a0\u00e9\u20ac\U0001f40c"), "a \"b\" \\ \u00a0\u00e9\u20ac\U0001f40c");
}

TEST(Printable, WritesControlCharactersOut) {
    EXPECT_EQ(printable("\x1b[2J"), "\\x1b[2J");
    EXPECT_EQ(printable("a\nb\tc\rd\x7f"), "a\\nb\\tc\\x0dd\\x7f");
    EXPECT_EQ(printable("\u009b2J\u0080"), "\\x9b2J\\x80");
    EXPECT_EQ(printable(std::string_view("\0", 1)), "\\x00");
}

}  // namespace
}  // namespace sansock
