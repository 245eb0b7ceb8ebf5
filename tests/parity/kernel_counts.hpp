#pragma once

#include <cstdint>

namespace sansock::parity {

/// How many bytes of a connection the kernel's TCP has carried. A round trip that leaves both counts as they were went
/// another way. The question is put by a bare instruction, not by libc, so that no interposed call can answer it.
struct KernelCounts {
    std::uint64_t acknowledged = 0;
    std::uint64_t received = 0;
    bool operator==(const KernelCounts &) const = default;
};

KernelCounts kernel_counts(int fd);

}  // namespace sansock::parity
