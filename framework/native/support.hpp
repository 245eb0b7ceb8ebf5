// What the files of the native API share.
#pragma once
#include <cerrno>

#include "sansock/stream.hpp"
#include "socket/process.hpp"
#include "socket/waiting.hpp"

namespace sansock::native {

/// What is called with a negative errno where the framework answers one.
inline std::unexpected<std::error_code> failure(long negative_errno) {
    return std::unexpected(std::error_code(static_cast<int>(-negative_errno), std::generic_category()));
}

inline uint64_t to_ns(Deadline deadline) {
    if (deadline == kNoDeadline) return socket::kForever;
    // steady_clock is CLOCK_MONOTONIC, as now_ns() is.
    const auto since_boot = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch()).count();
    return since_boot < 0 ? 0 : static_cast<uint64_t>(since_boot);
}

inline uint64_t ns_until(Deadline deadline) {
    const uint64_t at = to_ns(deadline), now = now_ns();
    return at == socket::kForever ? socket::kForever : at > now ? at - now : 0;
}

/// The framework's process object; on first use also what the end of the process and fork() need. nullptr: no address
/// space.
socket::Process *process();

/// Polls one descriptor until the deadline. The events, or -ETIMEDOUT or another negative errno.
long poll_one(int fd, short events, Deadline deadline);

}  // namespace sansock::native
