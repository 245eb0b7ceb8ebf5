#include "cli/bench/statistics.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "cli/bench/results.hpp"

namespace sansock::cli::bench {
namespace {

std::vector<double> up_to(int count) {
    std::vector<double> values;
    for (int i = count; i >= 1; --i) values.push_back(i);
    return values;
}

TEST(Estimate, OfOddAndEvenCountsIsTheMiddle) {
    EXPECT_EQ(estimate(up_to(1)).median, 1);
    EXPECT_EQ(estimate(up_to(5)).median, 3);
    EXPECT_EQ(estimate(up_to(6)).median, 3.5);
}

TEST(Estimate, HasTheIntervalOfTheTables) {
    // Ranks and coverages as in tables of the sign test: from the second smallest of 11, the sixth of 20.
    const Estimate eleven = estimate(up_to(11));
    EXPECT_EQ(eleven.low, 2);
    EXPECT_EQ(eleven.high, 10);
    EXPECT_NEAR(eleven.coverage, 0.9883, 0.0001);
    const Estimate twenty = estimate(up_to(20));
    EXPECT_EQ(twenty.low, 6);
    EXPECT_EQ(twenty.high, 15);
    EXPECT_NEAR(twenty.coverage, 0.9586, 0.0001);
}

TEST(Estimate, OfFewValuesIsTheirRangeAndSaysWhatThatIsWorth) {
    const Estimate five = estimate(up_to(5));
    EXPECT_EQ(five.low, 1);
    EXPECT_EQ(five.high, 5);
    EXPECT_NEAR(five.coverage, 0.9375, 0.0001);
    EXPECT_NEAR(estimate(up_to(6)).coverage, 0.9688, 0.0001);
    EXPECT_EQ(estimate(up_to(1)).coverage, 0);
}

TEST(Ratios, AreAboveOneWhereItIsBetter) {
    const Figure time{"p50", "p50", "us", false}, rate{"rate", "rate", "1/s", true};
    Case one{"64 B", "64", {}};
    one.values["p50"] = {{"tcp", {10, 20}}, {"sansock", {5, 4}}};
    one.values["rate"] = {{"tcp", {10, 20}}, {"sansock", {5, 40}}};
    EXPECT_EQ(ratios(one, time, "sansock"), (std::vector<double>{2, 5}));
    EXPECT_EQ(ratios(one, rate, "sansock"), (std::vector<double>{0.5, 2}));
    EXPECT_TRUE(ratios(one, rate, "control").empty());
}

}  // namespace
}  // namespace sansock::cli::bench
