// Regions for providers that need no more of registered memory than its bounds, and the checks and copies that go with
// them.
//
// A provider whose registrations carry more (a memory key of a device) defines sansock_region itself and does not
// include this.
#pragma once
#include <sansock/sdk/region.h>
#include <sansock/sdk/status.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "sansock/sdk/cpp/failure.hpp"

struct sansock_region {
    std::byte *base;
    std::uint64_t length;
};

namespace sansock::sdk {

/// The region for a register_region call; throws if the memory cannot be one.
inline std::unique_ptr<sansock_region> make_region(const sansock_memory &memory) {
    if (memory.base == nullptr || memory.length == 0) throw Failure(SANSOCK_EINVAL, "a region must not be empty");
    return std::make_unique<sansock_region>(sansock_region{static_cast<std::byte *>(memory.base), memory.length});
}

/// What a request may be.
struct RequestLimits {
    std::uint32_t slice_count_max;
    std::uint32_t unregistered_bytes_max;  ///< 0 for receives.
    std::uint64_t length_max;
};

/// SANSOCK_OK and the request's length, or the status that post_send and post_receive return for a bad one.
inline std::int32_t check_request(const sansock_slice *slices, std::uint32_t slice_count, const RequestLimits &limits,
                                  std::uint64_t &length) noexcept {
    if (slice_count > limits.slice_count_max) return SANSOCK_EINVAL;
    std::uint64_t unregistered = 0;
    length = 0;
    for (std::uint32_t at = 0; at < slice_count; ++at) {
        const sansock_slice &slice = slices[at];
        if (slice.length > limits.length_max - length) return SANSOCK_EMSGSIZE;
        length += slice.length;
        if (slice.region == nullptr) {
            unregistered += slice.length;
            continue;
        }
        const auto offset = static_cast<std::uint64_t>(static_cast<std::byte *>(slice.address) - slice.region->base);
        if (offset > slice.region->length || slice.length > slice.region->length - offset) return SANSOCK_EINVAL;
    }
    return unregistered > limits.unregistered_bytes_max ? SANSOCK_EINVAL : SANSOCK_OK;
}

/// Copies all bytes of the slices, in order, to `to`.
inline void gather(const sansock_slice *slices, std::uint32_t slice_count, std::byte *to) noexcept {
    for (std::uint32_t at = 0; at < slice_count; ++at) {
        if (slices[at].length == 0) continue;
        std::memcpy(to, slices[at].address, slices[at].length);
        to += slices[at].length;
    }
}

/// Copies `length` bytes into the slices, in order. They have room for them.
inline void scatter(const std::byte *from, std::uint64_t length, const sansock_slice *slices) noexcept {
    for (; length > 0; ++slices) {
        const std::uint64_t part = std::min(length, slices->length);
        if (part > 0) std::memcpy(slices->address, from, part);
        from += part;
        length -= part;
    }
}

/// Copies all bytes of the first slices, in order, into the second. They have room for them.
inline void copy_slices(const sansock_slice *from, std::uint32_t slice_count, const sansock_slice *to) noexcept {
    std::uint64_t filled = 0;  // Of the first of `to`.
    for (std::uint32_t at = 0; at < slice_count; ++at) {
        for (std::uint64_t taken = 0; taken < from[at].length;) {
            const std::uint64_t part = std::min(from[at].length - taken, to->length - filled);
            if (part == 0) {
                ++to;
                filled = 0;
                continue;
            }
            std::memcpy(static_cast<std::byte *>(to->address) + filled, static_cast<const std::byte *>(from[at].address) + taken, part);
            taken += part;
            filled += part;
        }
    }
}

}  // namespace sansock::sdk
