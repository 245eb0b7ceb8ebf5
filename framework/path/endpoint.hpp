// What carrying a stream needs of a provider's endpoint and its completion queue: the verbs of the SDK and nothing else.
//
// framework/runtime implements it with a plugin, the tests with memory. The threads that may call what are those of
// sansock/sdk/threads.h: all of this is [progress], one call at a time.
#pragma once
#include <sansock/sdk/completion.h>
#include <sansock/sdk/region.h>
#include <sansock/sdk/status.h>

#include <cstdint>
#include <span>

namespace sansock::path {

class Endpoint {
public:
    virtual int32_t post_send(std::span<const sansock_slice> slices, uint64_t token) noexcept = 0;
    virtual int32_t post_receive(std::span<const sansock_slice> slices, uint64_t token) noexcept = 0;
    /// A count, or a negative status when the queue is broken.
    virtual int32_t poll(std::span<sansock_completion> completions) noexcept = 0;
    /// `what`: SANSOCK_NOTIFY_*.
    virtual int32_t arm(uint32_t what) noexcept = 0;

protected:
    ~Endpoint() = default;
};

}  // namespace sansock::path
