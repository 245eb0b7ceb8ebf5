// One end's count over a run of rounds: the middle ones, so that neither the move off TCP nor the beginning of the
// counting is in it.
#pragma once
#include <cstdint>

#include "transport.hpp"

namespace bench {

/// What the server tells the client in the end.
struct Tally {
    std::uint64_t possible;  ///< 0: the kernel cannot count.
    std::uint64_t calls;
    std::uint64_t allocations;
};

class Counted {
public:
    Counted(std::uint64_t first, std::uint64_t count) : first_(first), end_(first + count) {}

    /// To be called before each round from 0 to end().
    void before_round(std::uint64_t round);
    [[nodiscard]] std::uint64_t end() const { return end_; }
    [[nodiscard]] Tally tally() const { return {possible_, calls_, allocations_}; }

private:
    std::uint64_t first_, end_;
    bool possible_ = false;
    std::uint64_t wakes_ = 0, calls_ = 0, allocations_ = 0;
};

/// The server's side of measure_calls().
void serve_counted_echo(int fd, const Hello &hello);

}  // namespace bench
