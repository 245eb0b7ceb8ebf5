#include "ring.hpp"

#include <sansock/sdk/cpp/region.hpp>

namespace sansock::simulated {

using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;

void RingSender::open(OwnMemory &own, const PeerMemory &peer, std::uint64_t message_bytes_max) {
    slots_ = own.slots();
    payload_ = own.payload();
    peer_ = &peer.control();
    payload_bytes_ = kPayloadMessages * message_bytes_max;
}

/// Learns what the peer has consumed. False when it cannot have.
bool RingSender::reclaim() noexcept {
    const std::uint64_t consumed = peer_->consumed.load(memory_order_acquire);
    if (consumed - consumed_ > sent_ - consumed_) return false;
    if (consumed != consumed_) payload_freed_ = payload_end_[(consumed - 1) % kSlotCount];
    consumed_ = consumed;
    return true;
}

RingResult RingSender::push(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t length,
                            std::uint64_t arrival_ns) noexcept {
    if (!reclaim()) return RingResult::peer_lied;
    if (sent_ - consumed_ == kSlotCount) return RingResult::nothing;
    Slot &slot = slots_[sent_ % kSlotCount];
    std::byte *to = slot.bytes.data();
    std::uint64_t payload_end = payload_written_;
    if (length > kInlineBytesMax) {
        std::uint64_t offset = payload_written_ % payload_bytes_;
        if (offset + length > payload_bytes_) {
            payload_end += payload_bytes_ - offset;
            offset = 0;
        }
        payload_end += length;
        if (payload_end - payload_freed_ > payload_bytes_) return RingResult::nothing;
        to = payload_ + offset;
        slot.offset.store(static_cast<std::uint32_t>(offset), memory_order_relaxed);
    }
    sdk::gather(slices, slice_count, to);
    slot.length.store(static_cast<std::uint32_t>(length), memory_order_relaxed);
    slot.arrival_ns.store(arrival_ns, memory_order_relaxed);
    payload_written_ = payload_end_[sent_ % kSlotCount] = payload_end;
    slot.sequence.store(++sent_, memory_order_release);
    return RingResult::done;
}

void RingReceiver::open(OwnMemory &own, const PeerMemory &peer, std::uint64_t message_bytes_max) {
    slots_ = peer.slots();
    payload_ = peer.payload();
    own_ = &own.control();
    message_bytes_max_ = message_bytes_max;
}

RingResult RingReceiver::peek(Message &message) noexcept {
    if (!seen_) {
        const Slot &slot = slots_[taken_ % kSlotCount];
        const std::uint64_t sequence = slot.sequence.load(memory_order_acquire);
        if (sequence != taken_ + 1) {
            const std::uint64_t before = taken_ < kSlotCount ? 0 : taken_ + 1 - kSlotCount;
            return sequence == before ? RingResult::nothing : RingResult::peer_lied;
        }
        const std::uint64_t length = slot.length.load(memory_order_relaxed);
        const std::uint64_t offset = slot.offset.load(memory_order_relaxed);
        const std::uint64_t payload_bytes = kPayloadMessages * message_bytes_max_;
        const bool in_slot = length <= kInlineBytesMax;
        if (length > message_bytes_max_ || (!in_slot && offset + length > payload_bytes)) return RingResult::peer_lied;
        message_ = {in_slot ? slot.bytes.data() : payload_ + offset, length, slot.arrival_ns.load(memory_order_relaxed)};
        seen_ = true;
    }
    message = message_;
    return RingResult::done;
}

void RingReceiver::pop() noexcept {
    seen_ = false;
    own_->consumed.store(++taken_, memory_order_release);
}

}  // namespace sansock::simulated
