#include "stream/copy_policy.hpp"

#include <gtest/gtest.h>

namespace sansock::stream {
namespace {

constexpr size_t kPiece = 32 * 1024;

/// What a piece costs its writer, in ticks.
struct Machine {
    uint64_t through_cache, past_cache;
};
constexpr Machine kNear{2'080, 2'100};  // measured within one last-level cache
constexpr Machine kFar{36'000, 2'400};  // and between two

class Copying : public testing::Test {
protected:
    /// How many of `pieces` went past the cache.
    int copy(const Machine &machine, int pieces, size_t size = kPiece) {
        int past = 0;
        for (int i = 0; i < pieces; ++i) {
            const CopyPolicy::Choice choice = policy.choose(size);
            past += choice.past_cache;
            if (choice.measured) policy.learn(choice, size, choice.past_cache ? machine.past_cache : machine.through_cache);
        }
        return past;
    }
    CopyPolicy policy{};
};

TEST_F(Copying, StaysInTheCacheThatBothEndsShare) {
    copy(kNear, 1000);
    EXPECT_LE(copy(kNear, 25'600), 110) << "but for a try now and then";
    EXPECT_GE(copy(kNear, 25'600), 50) << "without tries it would not notice a thread that moves";
}

TEST_F(Copying, GoesPastTheCacheWhereTheReaderHasAnother) {
    copy(kFar, 1000);
    EXPECT_GE(copy(kFar, 25'600), 25'600 - 110);
}

TEST_F(Copying, FollowsThreadsThatMove) {
    copy(kNear, 10'000);
    copy(kFar, 200);
    EXPECT_GE(copy(kFar, 2'560), 2'500);
    copy(kNear, 5'000);
    EXPECT_LE(copy(kNear, 2'560), 60);
}

TEST_F(Copying, ForgivesAPieceInWhoseMiddleTheProcessorWasLost) {
    copy(kNear, 1000);
    for (int i = 0; i < 20; ++i) {
        copy({10'000'000, 10'000'000}, 8);
        EXPECT_LE(copy(kNear, 80), 80 / 4);
    }
}

TEST_F(Copying, LeavesSmallPiecesAlone) {
    copy(kFar, 1000);
    EXPECT_EQ(copy(kFar, 1000, 512), 0);
}

}  // namespace
}  // namespace sansock::stream
