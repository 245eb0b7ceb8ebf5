#include "cli/bench/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace sansock::cli::bench {
namespace {

constexpr double kCoverage = 0.95;

}  // namespace

Estimate estimate(std::span<const double> values) {
    std::vector<double> sorted(values.begin(), values.end());
    std::ranges::sort(sorted);
    const std::size_t count = sorted.size();
    Estimate result;
    result.median = count % 2 == 1 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;

    // Each value is above the true median as a coin shows heads. The interval from the k-th smallest to the k-th
    // largest misses it when fewer than k coins, or more than count - k, do.
    double misses = 2 * std::pow(0.5, static_cast<double>(count));  // for k = 1
    double binomial = 1;
    std::size_t k = 1;
    for (std::size_t next = 1; 2 * (next + 1) <= count; ++next) {
        binomial *= static_cast<double>(count - next + 1) / static_cast<double>(next);
        const double more = misses + 2 * binomial * std::pow(0.5, static_cast<double>(count));
        if (more > 1 - kCoverage) break;
        misses = more;
        k = next + 1;
    }
    result.low = sorted[k - 1];
    result.high = sorted[count - k];
    result.coverage = 1 - std::min(misses, 1.0);
    return result;
}

}  // namespace sansock::cli::bench
