// What the configuration decided, as plain values that the data path and the helper read.
#pragma once
#include <cstdint>

namespace sansock::socket {

struct Policy {
    uint32_t upgrade_after_calls = 4;
    uint64_t upgrade_after_bytes = 64 * 1024;
    uint32_t spin_ns_max = 20'000;        ///< Longest spin before a wait goes to sleep; 0: never spin.
    uint64_t rendezvous_timeout_ns = 1'000'000'000;
    uint64_t step_timeout_ns = 5'000'000'000;
    uint32_t buffer_size = 64 * 1024;
    uint32_t send_buffers = 5;
    uint64_t max_memory = 256u << 20;
    char guid_text[40] = "5a6e50c4-0000-4000-8000-000000000001";
    char plugin[32] = "simulated";
};

}  // namespace sansock::socket
