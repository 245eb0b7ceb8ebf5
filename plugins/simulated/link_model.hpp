// A network on paper: when a message would arrive, and whether it would.
//
// The sender works it out and writes the time of arrival beside the message; the receiver does not look at the message
// before. Both ends read the same clock, since they share a host. The numbers depend on the seed, the endpoint's number
// within its provider and the messages' lengths, and on nothing else, so that a run can be repeated.
#pragma once
#include <algorithm>
#include <cstdint>

#include "settings.hpp"

namespace sansock::simulated {

class LinkModel {
public:
    LinkModel(const Simulation &simulation, std::uint64_t endpoint_number)
        : simulation_(simulation), state_(simulation.seed * 0x9e3779b97f4a7c15 + endpoint_number) {}

    struct Fate {
        std::uint64_t arrival_ns;
        bool send_fails;      ///< The send completes with an error and is not delivered.
        bool endpoint_fails;  ///< It is delivered, and is the endpoint's last.
    };

    Fate send(std::uint64_t bytes, std::uint64_t now_ns) noexcept {
        line_free_ns_ = std::max(line_free_ns_, now_ns);
        if (simulation_.bandwidth_bytes != 0) {
            line_free_ns_ +=
                static_cast<std::uint64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(simulation_.bandwidth_bytes));
        }
        const auto jitter = static_cast<std::uint64_t>(random() * static_cast<double>(simulation_.jitter_ns));
        last_arrival_ns_ = std::max(last_arrival_ns_, line_free_ns_ + simulation_.latency_ns + jitter);
        const bool lost = random() < simulation_.completion_error_rate;
        return {last_arrival_ns_, lost, ++sent_ == simulation_.fail_after_messages};
    }

private:
    /// The next number of a splitmix64 sequence, in [0, 1).
    double random() noexcept {
        std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return static_cast<double>((mixed ^ (mixed >> 31)) >> 11) * 0x1p-53;
    }

    Simulation simulation_;
    std::uint64_t state_;
    std::uint64_t line_free_ns_ = 0;
    std::uint64_t last_arrival_ns_ = 0;
    std::uint64_t sent_ = 0;
};

}  // namespace sansock::simulated
