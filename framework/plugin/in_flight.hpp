// The requests of one endpoint that the plugin has not completed yet.
//
// The plugin is given tokens of ours, not the caller's: a slot number and how often the slot was used. So a completion
// that was never posted, comes twice, or is of the wrong kind is found by one comparison, without a search and without
// an allocation.
#pragma once
#include <cstdint>
#include <vector>

namespace sansock::plugin::detail {

class InFlight {
public:
    InFlight(std::uint32_t send_depth, std::uint32_t receive_depth) : slots_(send_depth + receive_depth) {
        free_.reserve(slots_.size());
        for (std::size_t slot = slots_.size(); slot > 0; --slot) free_.push_back(static_cast<std::uint32_t>(slot - 1));
    }

    [[nodiscard]] bool full() const { return free_.empty(); }

    /// The token for the plugin. Not when full.
    [[nodiscard]] std::uint64_t add(std::uint32_t kind, std::uint64_t length, std::uint64_t user_token) {
        const std::uint32_t index = free_.back();
        free_.pop_back();
        Slot &slot = slots_[index];
        ++slot.generation;
        slot.kind = kind;
        slot.length = length;
        slot.user_token = user_token;
        return (std::uint64_t{slot.generation} << 32) | index;
    }

    /// Ends the request. False when no such request is in flight, or fewer bytes were posted than `length`.
    [[nodiscard]] bool take(std::uint64_t token, std::uint32_t kind, std::uint64_t length, std::uint64_t &user_token) {
        const auto index = static_cast<std::uint32_t>(token);
        if (index >= slots_.size()) return false;
        Slot &slot = slots_[index];
        if (slot.kind != kind || slot.generation != token >> 32 || length > slot.length) return false;
        user_token = slot.user_token;
        slot.kind = kFree;
        free_.push_back(index);
        return true;
    }

private:
    static constexpr std::uint32_t kFree = 0;
    struct Slot {
        std::uint64_t user_token = 0;
        std::uint64_t length = 0;
        std::uint32_t generation = 0;
        std::uint32_t kind = kFree;
    };
    std::vector<Slot> slots_;
    std::vector<std::uint32_t> free_;
};

}  // namespace sansock::plugin::detail
