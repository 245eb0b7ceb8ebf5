// Where messages come down: receive buffers, and a slot of ours that shows the reader what the peer's slot would show it if the
// peer's memory were the path (tail, segments, consumed). So the stream reads, waits and ends as it does over shared
// memory, and a message is copied once: from the buffer that it came in to the application.
//
// A buffer is lent to the provider, then holds bytes until the application has read them, then is lent again.
#pragma once
#include "memory/arena.hpp"
#include "path/endpoint.hpp"
#include "path/frame.hpp"
#include "path/registered.hpp"

namespace sansock::path {

inline constexpr uint32_t kReceivesMax = 255;
/// A receive buffer is so much larger than a send buffer: a full one and its frame make one message.
inline constexpr uint32_t kFrameRoom = memory::kPage;

class Landing {
public:
    /// Borrows a slot and `receives` buffers of `arena`. False: there are not enough.
    bool open(memory::Arena &arena, uint32_t receives);
    /// Before anything is lent, for the first time or in another epoch: nothing has arrived. All that was borrowed is covered.
    void begin(const Registered *registered);
    /// Gives everything back. The endpoint that the buffers were lent to is closed by then.
    void close();
    [[nodiscard]] bool is_open() const { return arena_ != nullptr; }

    [[nodiscard]] memory::Slot &slot() const { return arena_->slot(slot_); }
    /// The arena, as who reads the path needs it.
    [[nodiscard]] const memory::PeerArena &view() const { return view_; }
    [[nodiscard]] uint32_t receives() const { return receives_; }
    /// The longest message that fits.
    [[nodiscard]] uint32_t message_bytes() const { return arena_->shape().buffer_size; }
    /// Memory of the slot that no reader looks at: the frames of messages under way.
    [[nodiscard]] sansock_slice frame_place(uint32_t number) const;

    /// Lends a buffer to the provider. SANSOCK_OK or the provider's error.
    int32_t lend(Endpoint &endpoint, uint32_t number);
    /// The end of a message of `length` bytes in a buffer. False: too short to hold one.
    bool frame_of(uint32_t number, uint64_t length, Frame &frame) const;

    /// The stream goes on here from `offset`. As the stream's own beginning (Environment::path_opens) may come first, or later.
    static void open_at(memory::Slot &slot, uint64_t offset);
    /// The next `size` bytes of the stream lie in the buffer: lists it and moves the tail.
    void publish(uint32_t number, uint32_t size);
    [[nodiscard]] uint64_t tail() const { return slot().hot.tail.load(std::memory_order_relaxed); }
    /// The oldest buffer whose bytes are all read by now, to be lent again; kReceivesMax: there is none.
    uint32_t take_read(uint64_t consumed);

private:
    memory::Arena *arena_ = nullptr;
    memory::PeerArena view_;
    const Registered *registered_ = nullptr;
    uint32_t slot_ = 0;
    uint32_t receives_ = 0;
    uint16_t buffers_[kReceivesMax] = {};
    struct Held {
        uint32_t number;
        uint64_t end;
    };
    Held held_[kReceivesMax + 1] = {};  ///< In the order in which they came.
    uint32_t held_first_ = 0, held_count_ = 0;
    bool has_segment_ = false;
};

}  // namespace sansock::path
