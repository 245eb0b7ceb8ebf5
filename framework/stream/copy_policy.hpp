// Through the cache, or past it: how a sender copies into its window.
//
// Where both ends share a last-level cache, plain stores are best: the reader finds the bytes there. Where they do not (two core complexes
// of one processor, two sockets), every plain store has to fetch a line that the reader's cache holds; 32 KiB took 14 us so and 0.9 us past
// the cache, which costs the reader a read from memory. What the machine says of its caches is of no help inside a virtual machine, so the
// sender measures, and goes on measuring, for threads move.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace sansock::stream {

/// Zero bytes are a new one. Not thread-safe: belongs to what the out lock guards.
class CopyPolicy {
public:
    /// Smaller pieces always go through the cache.
    static constexpr size_t kPieceMin = 1024;
    static constexpr uint32_t kMeasureEvery = 8;    ///< Pieces
    static constexpr uint32_t kOtherWayEvery = 32;  ///< Measurements

    struct Choice {
        bool past_cache;
        bool measured;
    };
    /// For the next piece of `size` bytes.
    Choice choose(size_t size) {
        if (size < kPieceMin) return {false, false};
        const bool measured = pieces_++ % kMeasureEvery == 0;
        const bool other_way = measured && pieces_ / kMeasureEvery % kOtherWayEvery == 1;
        return {past_cache_ != other_way, measured};
    }
    /// A measured piece took so many ticks of whatever clock.
    void learn(Choice choice, size_t size, uint64_t ticks) {
        uint32_t &cost = cost_[choice.past_cache];
        const auto sample = static_cast<uint32_t>(std::clamp<uint64_t>(ticks * kUnit / size, 1, kCostMax));
        // A thread that lost the processor in the middle must not count for much.
        cost = cost == 0 ? sample : (cost + std::clamp(sample, cost / 2, cost * 2) + 1) / 2;
        if (cost_[0] == 0 || cost_[1] == 0) return;
        // Past the cache the reader pays more: within one cache it took three times as long.
        past_cache_ = cost_[0] > (past_cache_ ? kLeaveAt : kEnterAt) * cost_[1];
    }

private:
    static constexpr uint32_t kUnit = 1024, kCostMax = 1u << 24;
    static constexpr uint32_t kEnterAt = 5, kLeaveAt = 4;
    uint32_t cost_[2];  ///< Ticks per KiB, through the cache and past it; 0: not known.
    uint32_t pieces_;
    bool past_cache_;
};

}  // namespace sansock::stream
