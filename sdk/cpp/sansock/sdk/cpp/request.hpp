// A posted request, kept until it can be done.
#pragma once
#include <array>
#include <cstring>

#include "sansock/sdk/cpp/region.hpp"

namespace sansock::sdk {

template <std::uint32_t SliceCountMax, std::uint32_t InlineBytesMax>
struct Request {
    std::uint64_t token;
    std::uint64_t length;
    std::uint32_t slice_count;
    std::array<sansock_slice, SliceCountMax> slices;
    std::array<std::byte, InlineBytesMax> copied;  ///< Bytes of unregistered slices: the caller reuses those at once.

    /// Takes over a request that check_request found good.
    void keep(const sansock_slice *posted, std::uint32_t count, std::uint64_t bytes, std::uint64_t posted_token) noexcept {
        token = posted_token;
        length = bytes;
        slice_count = count;
        std::byte *to = copied.data();
        for (std::uint32_t at = 0; at < count; ++at) {
            slices[at] = posted[at];
            if (posted[at].region != nullptr || posted[at].length == 0) continue;
            slices[at].address = std::memcpy(to, posted[at].address, posted[at].length);
            to += posted[at].length;
        }
    }
};

}  // namespace sansock::sdk
