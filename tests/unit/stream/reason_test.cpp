#include "stream/reason.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace sansock::stream {
namespace {

constexpr auto kLast = Reason::kChannelLost;

TEST(ReasonName, IsUniqueForEveryReason) {
    std::set<std::string> names;
    for (int i = 1; i <= static_cast<int>(kLast); ++i) {
        const char *name = reason_name(static_cast<Reason>(i));
        ASSERT_NE(name, nullptr) << i;
        EXPECT_STRNE(name, "unknown") << i;
        EXPECT_TRUE(names.insert(name).second) << name << " stands for two reasons";
    }
}

TEST(ReasonName, IsMadeOfLowerCaseWords) {
    for (int i = 1; i <= static_cast<int>(kLast); ++i) {
        const std::string name = reason_name(static_cast<Reason>(i));
        EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), std::string::npos) << name;
    }
}

TEST(ReasonName, HasNothingToSayWithoutAReason) { EXPECT_EQ(reason_name(Reason::kNone), nullptr); }

TEST(ReasonName, CallsGarbageUnknown) {
    EXPECT_STREQ(reason_name(static_cast<Reason>(static_cast<int>(kLast) + 1)), "unknown");
    EXPECT_STREQ(reason_name(static_cast<Reason>(255)), "unknown");
}

}  // namespace
}  // namespace sansock::stream
