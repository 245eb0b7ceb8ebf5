// What a worker knows of itself: its CPU time, memory and allocations; and how it keeps durations.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;

/// Asked for over a connection, so that the client can add up both ends.
struct Figures {
    std::uint64_t cpu_ns;
    std::uint64_t memory_bytes;  ///< Proportional set size: what two processes share counts half in each.
    std::uint64_t allocations;   ///< Calls of malloc and its relatives so far.
};
/// Asking for the memory takes the kernel a while, which would be found in the CPU time.
enum Asked : std::uint8_t { kCheap, kAll };
Figures own_figures(Asked asked);
/// Those of the server behind a connection in mode kFigures.
Figures figures_over(int fd, Asked asked);

/// Durations in ns, for percentiles. Memory for `most` is taken at once; later ones are dropped.
class Durations {
public:
    explicit Durations(std::size_t most) { values_.reserve(most); }
    void add(std::chrono::nanoseconds duration) {
        if (values_.size() < values_.capacity())
            values_.push_back(static_cast<std::uint32_t>(std::min<std::int64_t>(duration.count(), UINT32_MAX)));
    }
    void clear() { values_.clear(); }
    [[nodiscard]] std::size_t count() const { return values_.size(); }
    /// The smallest duration that `share` of all do not exceed, in us.
    [[nodiscard]] double percentile_us(double share);

private:
    std::vector<std::uint32_t> values_;
};

/// A line of JSON on stdout: a case, and its figures as "name": value.
class Line {
public:
    explicit Line(const std::string &name);
    Line &add(const char *name, double value);
    void print() const;

private:
    std::string text_;
};

}  // namespace bench
