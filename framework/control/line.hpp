// The channel to a process that has shown itself. Whoever holds it may say something to the process, from any thread.
#pragma once
#include <sys/socket.h>

#include <atomic>
#include <cstdint>

#include "base/unique_fd.hpp"

namespace sansock::control {

struct Line {
    Line(UniqueFd channel, const ucred &who);

    enum class Told { kYes, kFull, kGone };
    /// Never waits. A descriptor goes along where there is one (not -1).
    Told tell(const void *message, size_t size, int descriptor = -1) const;
    /// For what it must not miss: one that has no room for it loses its channel, and has to show itself again.
    void insist(const void *message, size_t size) const;

    const UniqueFd channel;
    const ucred who;                   ///< As the kernel vouches.
    const uint64_t key;                ///< Random, never 0; what other hosts know the process by.
    std::atomic<uint32_t> looking{0};  ///< Look-ups that it waits for.
};

}  // namespace sansock::control
