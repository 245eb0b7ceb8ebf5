// An arena's memory as a provider knows it: registered in pieces, as slots and buffers come to be used. Registered memory is locked, and an
// arena is as large as it may ever become.
//
// Each piece is twice as large as the one before it, so there are few of them, and no more than half is registered in vain. The piece that
// a slot or a buffer lies in is told by its index alone.
#pragma once
#include <sansock/sdk/region.h>

#include <algorithm>
#include <bit>

#include "memory/arena.hpp"

namespace sansock::path {

class Registered {
public:
    void open(const memory::Arena &arena) {
        *this = {};
        arena_ = &arena;
    }
    [[nodiscard]] bool is_open() const { return arena_ != nullptr; }

    // One thread at a time. `add` registers memory, a base and a length in bytes, and answers nullptr when that fails; so do these, with
    // false, and what is registered already stays.
    template <class Add>
    bool cover_slot(uint32_t slot, Add &&add) {
        return cover(slots_, piece_of(slot), slots(), add);
    }
    /// All buffers below the count, or as many as the arena has.
    template <class Add>
    bool cover_buffers(uint32_t count, Add &&add) {
        count = std::min(count, arena_->shape().buffers);
        for (uint32_t piece = 0; count > 0 && piece <= piece_of(count - 1); ++piece) {
            if (!cover(buffers_, piece, buffers(), add)) return false;
        }
        return true;
    }
    template <class Remove>
    void close(Remove &&remove) {
        for (auto *regions : {&slots_, &buffers_}) {
            for (sansock_region *&region : *regions) {
                if (region != nullptr) remove(region);
            }
        }
        *this = {};
    }

    /// The registration of a slot or buffer that was covered before this thread could know of it.
    [[nodiscard]] sansock_region *of(const void *memory) const {
        const auto offset =
            static_cast<size_t>(static_cast<const uint8_t *>(memory) - reinterpret_cast<const uint8_t *>(&arena_->header()));
        const size_t begin = buffers().begin;
        if (offset >= begin) return buffers_[piece_of(static_cast<uint32_t>((offset - begin) / arena_->shape().buffer_size))];
        return slots_[piece_of(static_cast<uint32_t>((offset - slots().begin) / memory::kSlotSize))];
    }

private:
    static constexpr uint32_t kFirstPiece = 4;  ///< Of slots, or of buffers.
    static constexpr uint32_t kPieces = 15;     ///< For 65535 buffers.

    static uint32_t piece_of(uint32_t index) { return static_cast<uint32_t>(std::bit_width(index / kFirstPiece + 1)) - 1; }
    static uint32_t first_of(uint32_t piece) { return ((1U << piece) - 1) * kFirstPiece; }

    /// Where equal parts of the arena lie.
    struct Parts {
        size_t begin;
        size_t size;
        uint32_t count;
    };
    [[nodiscard]] Parts slots() const { return {arena_->shape().slot_offset(0), memory::kSlotSize, arena_->shape().slots}; }
    [[nodiscard]] Parts buffers() const { return {arena_->shape().buffer_offset(0), arena_->shape().buffer_size, arena_->shape().buffers}; }

    template <class Add>
    bool cover(sansock_region *(&regions)[kPieces], uint32_t piece, const Parts &parts, Add &&add) {
        if (regions[piece] != nullptr) return true;
        const uint32_t first = first_of(piece), last = std::min(first_of(piece + 1), parts.count);
        auto *base = reinterpret_cast<uint8_t *>(&arena_->header()) + parts.begin + first * parts.size;
        regions[piece] = add(base, (last - first) * parts.size);
        return regions[piece] != nullptr;
    }

    const memory::Arena *arena_ = nullptr;
    sansock_region *slots_[kPieces] = {};
    sansock_region *buffers_[kPieces] = {};
};

/// Where nothing need be registered, there is nullptr.
inline sansock_region *region_of(const Registered *registered, const void *memory) {
    return registered == nullptr ? nullptr : registered->of(memory);
}

}  // namespace sansock::path
