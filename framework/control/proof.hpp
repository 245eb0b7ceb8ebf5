// Whether a process holds the connection that it says it holds.
#pragma once
#include <cstdint>

#include "base/result.hpp"
#include "control/pair.hpp"

namespace sansock::control {

/// What the kernel tells this process's network namespace by.
[[nodiscard]] Result<uint64_t> own_network();

/// `socket`, which the process has passed, is its TCP connection between these two, in the network `network`. The result is what the kernel
/// tells it from all other sockets by. Nothing here waits, whatever the descriptor is of.
[[nodiscard]] Result<uint64_t> prove(int socket, const Pair &claimed, uint64_t network);

}  // namespace sansock::control
