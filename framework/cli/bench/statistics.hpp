// Medians, and how far they can be trusted.
#pragma once
#include <span>

namespace sansock::cli::bench {

/// The median with an interval that holds the true one with probability `coverage`. It comes from the order of the
/// values alone (the binomial distribution), so that nothing is assumed about how they scatter; fewer than six values
/// cannot reach 95 %, and then the interval is their range.
struct Estimate {
    double median = 0;
    double low = 0;
    double high = 0;
    double coverage = 0;
};

/// Of at least one value.
Estimate estimate(std::span<const double> values);

}  // namespace sansock::cli::bench
