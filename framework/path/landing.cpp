#include "path/landing.hpp"

#include <cstring>

namespace sansock::path {

using memory::SegmentWord;

bool Landing::open(memory::Arena &arena, uint32_t receives) {
    const auto slot = arena.take_slot();
    if (!slot) return false;
    *this = {};
    arena_ = &arena;
    view_ = memory::PeerArena::of(arena);
    slot_ = *slot;
    while (receives_ < receives) {
        const auto buffer = arena.take_buffer();
        if (!buffer) {
            close();
            return false;
        }
        buffers_[receives_++] = *buffer;
    }
    return true;
}

void Landing::begin(const Registered *registered) {
    registered_ = registered;
    held_first_ = held_count_ = 0;
    has_segment_ = false;
    slot().hot.tail.store(0, std::memory_order_release);  // not open
}

void Landing::close() {
    if (arena_ == nullptr) return;
    while (receives_ > 0) arena_->give_buffer(buffers_[--receives_]);
    arena_->give_slot(slot_);
    arena_ = nullptr;
}

sansock_slice Landing::frame_place(uint32_t number) const {
    uint8_t *place = slot().inline_buffer + size_t{number} * sizeof(Frame);
    return {place, sizeof(Frame), region_of(registered_, place)};
}

int32_t Landing::lend(Endpoint &endpoint, uint32_t number) {
    uint8_t *place = arena_->buffer(buffers_[number]);
    const sansock_slice slice{place, message_bytes(), region_of(registered_, place)};
    return endpoint.post_receive({&slice, 1}, number);
}

bool Landing::frame_of(uint32_t number, uint64_t length, Frame &frame) const {
    if (length < sizeof frame || length > message_bytes()) return false;
    std::memcpy(&frame, arena_->buffer(buffers_[number]) + (length - sizeof frame), sizeof frame);
    return true;
}

void Landing::open_at(memory::Slot &slot, uint64_t offset) {
    uint64_t unopened = 0;
    slot.hot.tail.compare_exchange_strong(unopened, offset, std::memory_order_acq_rel);
}

void Landing::publish(uint32_t number, uint32_t size) {
    memory::HotLine &hot = slot().hot;
    const uint64_t start = tail();
    if (has_segment_) {
        const uint32_t closed = hot.closed.load(std::memory_order_relaxed);
        slot().list(closed, hot.segment.load(std::memory_order_relaxed), start);
        hot.closed.store(closed + 1, std::memory_order_release);
    }
    has_segment_ = true;
    hot.segment.store(SegmentWord::pack(start, buffers_[number]), std::memory_order_release);
    hot.tail.store(start + size, std::memory_order_release);
    held_[(held_first_ + held_count_++) % (kReceivesMax + 1)] = {number, start + size};
}

uint32_t Landing::take_read(uint64_t consumed) {
    if (held_count_ == 0 || held_[held_first_].end > consumed) return kReceivesMax;
    const uint32_t number = held_[held_first_].number;
    held_first_ = (held_first_ + 1) % (kReceivesMax + 1);
    --held_count_;
    return number;
}

}  // namespace sansock::path
