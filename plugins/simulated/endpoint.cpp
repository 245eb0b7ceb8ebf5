#include "endpoint.hpp"

#include "provider.hpp"
#include "queue.hpp"

namespace sansock::simulated {

bool Endpoint::memory_is_path() const noexcept { return state_ == SANSOCK_ENDPOINT_ESTABLISHED && !link_ && !peer_simulates_; }

std::uint64_t Endpoint::now_ns() const noexcept { return provider_.now_ns(); }

std::int32_t Endpoint::post_send(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    if (state_ != SANSOCK_ENDPOINT_ESTABLISHED) return SANSOCK_ENOTCONN;
    if (carrier_ == kHostsMemory) return SANSOCK_ENOTSUP;
    if (peer_is_gone()) return SANSOCK_ENOTCONN;
    std::uint64_t length = 0;
    const sdk::RequestLimits limits{kSliceCountMax, kInlineBytesMax, provider_.settings().message_bytes_max};
    const std::int32_t status = sdk::check_request(slices, slice_count, limits, length);
    if (status != SANSOCK_OK) return status;
    if (sends_left_ == 0) return SANSOCK_EAGAIN;
    --sends_left_;
    waiting_.push().keep(slices, slice_count, length, token);
    push_waiting();
    return SANSOCK_OK;
}

std::int32_t Endpoint::post_receive(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    if (state_ == SANSOCK_ENDPOINT_FAILED) return SANSOCK_ENOTCONN;
    if (carrier_ == kHostsMemory) return SANSOCK_ENOTSUP;
    std::uint64_t length = 0;
    const sdk::RequestLimits limits{kSliceCountMax, 0, UINT64_MAX};
    const std::int32_t status = sdk::check_request(slices, slice_count, limits, length);
    if (status != SANSOCK_OK) return status;
    if (receives_left_ == 0) return SANSOCK_EAGAIN;
    --receives_left_;
    receives_.push().keep(slices, slice_count, length, token);
    if (queue_.is_armed() && state_ == SANSOCK_ENDPOINT_ESTABLISHED) {
        // A message that was there before its receive rings no bell any more.
        RingReceiver::Message waiting{};
        if (receiver_.peek(waiting) != RingResult::nothing) queue_.notify_at(peer_simulates_ ? waiting.arrival_ns : 0);
    }
    return SANSOCK_OK;
}

}  // namespace sansock::simulated
