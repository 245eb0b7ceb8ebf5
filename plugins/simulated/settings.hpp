// What an operator may say about the simulated provider.
//
//     options:
//       message_max: 128 KiB         # 4 KiB to 1 MiB: the longest message
//     simulation:                    # without it the provider is as fast as memory, with it a modelled network
//       latency: 20us                # 0 to 10s: added to each message
//       bandwidth: 10Gbit            # 1Mbit to 10000Gbit: of each direction of an endpoint
//       jitter: 5us                  # 0 to 10s: up to this much more latency, evenly spread; order is kept
//       completion_error_rate: 0.01  # 0 to 1: a send completes with an error, and its endpoint fails
//       fail_after_messages: 1000    # an endpoint fails when it has sent so many; 0: never
//       unreceived: wait             # or fail, as on iWARP: a message that finds no receive fails the endpoint
//       seed: 1                      # the same seed gives the same delays and errors
#pragma once
#include <cstdint>
#include <optional>

namespace sansock::simulated {

/// Longest delay that the settings can add up to for one message behind another: latency, jitter, and 1 MiB at 1 Mbit.
inline constexpr std::uint64_t kDelayNsMax = 30'000'000'000;

struct Simulation {
    std::uint64_t latency_ns = 0;
    std::uint64_t bandwidth_bytes = 0;  ///< A second; 0 is unlimited.
    std::uint64_t jitter_ns = 0;
    double completion_error_rate = 0;
    std::uint64_t fail_after_messages = 0;  ///< 0 is never.
    bool unreceived_fails = false;
    std::uint64_t seed = 1;
};

struct Settings {
    std::uint64_t message_bytes_max = 128 * 1024;
    std::optional<Simulation> simulation;
};

/// Throws sdk::Failure with EINVAL: the origin, the line, the key, what is wrong and what is allowed.
[[nodiscard]] Settings parse_settings(const char *yaml, const char *origin);

}  // namespace sansock::simulated
