// Every measured duration is kept, which is exact and, at 8 bytes each, cheap enough for a sample.
#pragma once
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <vector>

namespace samples {

class Latencies {
public:
    /// Memory for `expected` durations is taken at once, so that add() does not disturb what it measures.
    explicit Latencies(std::size_t expected) { durations_.reserve(expected); }

    void add(std::chrono::nanoseconds duration) { durations_.push_back(duration); }
    void add(const Latencies &other) { durations_.insert(durations_.end(), other.durations_.begin(), other.durations_.end()); }
    [[nodiscard]] std::size_t count() const { return durations_.size(); }

    /// The smallest duration that `percent` of all do not exceed; 0 when there is none.
    [[nodiscard]] double percentile_us(double percent) {
        if (durations_.empty()) return 0;
        const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(count())));
        const auto position = durations_.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
        std::ranges::nth_element(durations_, position);
        return std::chrono::duration<double, std::micro>(*position).count();
    }

private:
    std::vector<std::chrono::nanoseconds> durations_;
};

}  // namespace samples
