#include <gtest/gtest.h>

#include "memory/layout.hpp"

namespace sansock::memory {
namespace {

TEST(SegmentWord, KeepsStartAndBuffer) {
    const uint64_t word = SegmentWord::pack(0x1234'5678'9abc, 0xdef0);
    EXPECT_EQ(SegmentWord::start48(word), 0x1234'5678'9abcu);
    EXPECT_EQ(SegmentWord::buffer(word), 0xdef0u);
}

TEST(SegmentWord, CoversFromItsStartOn) {
    const uint64_t word = SegmentWord::pack(1000, kInlineBuffer);
    EXPECT_TRUE(SegmentWord::covers(word, 1000));
    EXPECT_TRUE(SegmentWord::covers(word, 2000));
    EXPECT_FALSE(SegmentWord::covers(word, 999));
    EXPECT_FALSE(SegmentWord::covers(word, 0));
    EXPECT_EQ(SegmentWord::distance(word, 1010), 10u);
}

TEST(SegmentWord, MeasuresAcrossTheEndOf48Bits) {
    const uint64_t start = (uint64_t{1} << 48) - 5;
    const uint64_t word = SegmentWord::pack(start, 3);
    EXPECT_EQ(SegmentWord::buffer(word), 3u);
    EXPECT_TRUE(SegmentWord::covers(word, start + 10));
    EXPECT_EQ(SegmentWord::distance(word, start + 10), 10u);
    EXPECT_FALSE(SegmentWord::covers(word, start - 1));
    const uint64_t later = SegmentWord::pack(start + 10, 3);  // beyond: only the low 48 bits are kept
    EXPECT_EQ(SegmentWord::distance(later, start + 12), 2u);
    EXPECT_FALSE(SegmentWord::covers(later, start));
}

}  // namespace
}  // namespace sansock::memory
