// What the configuration decided for the process as a whole, as plain values that the data path reads.
#pragma once
#include <cstdint>

namespace sansock::socket {

/// The initial values are those of the embedded default: they hold until the helper has read the configuration.
struct Policy {
    uint32_t upgrade_after_calls = 4;
    uint64_t upgrade_after_bytes = 64 * 1024;
    uint32_t spin_ns_max = 100'000;  ///< Longest spin before a wait goes to sleep; 0: never spin.
    bool spin_always = false;        ///< Spin whatever the moving average says.
    uint64_t rendezvous_timeout_ns = 1'000'000'000;
    uint64_t require_timeout_ns = 1'000'000'000;
    uint64_t step_timeout_ns = 5'000'000'000;
    uint64_t path_timeout_ns = 30'000'000'000;
    uint64_t return_after_ns = 5'000'000'000;
};

}  // namespace sansock::socket
