// The window: the bytes that an end keeps until the peer's application has consumed them, in shared memory that the
// peer reads in place.
//
// The stream lies in segments. The open segment grows at the tail; a segment that is full is listed as closed and a new
// one opened. A writer that finds everything consumed starts again at the front, so a quiet connection stays in two
// cache lines and one page, and a bulk sender cycles through the few buffers that the reader has just left.
#pragma once
#include <sys/uio.h>

#include <algorithm>

#include "base/point.hpp"
#include "memory/arena.hpp"
#include "stream/state.hpp"

namespace sansock::stream {

/// The application's buffers of one call, consumed from the front.
class Parts {
public:
    Parts(const iovec *parts, int count) : parts_(parts), count_(count) {}
    [[nodiscard]] size_t total() const;
    /// The next contiguous run, at most `limit` bytes; empty at the end.
    struct Run {
        uint8_t *data;
        size_t size;
    };
    Run next(size_t limit) {
        while (count_ > 0 && parts_->iov_len == used_) {
            ++parts_;
            --count_;
            used_ = 0;
        }
        if (count_ == 0) return {nullptr, 0};
        Run run{static_cast<uint8_t *>(parts_->iov_base) + used_, std::min(limit, parts_->iov_len - used_)};
        used_ += run.size;
        return run;
    }

private:
    const iovec *parts_;
    int count_;
    size_t used_ = 0;
};

/// A contiguous run of the stream in a window.
struct Run {
    const uint8_t *data = nullptr;
    size_t size = 0;
};

/// Writes this end's window. Call with the out lock held.
class WindowWriter {
public:
    WindowWriter(OutState &state, memory::Arena &arena, memory::Slot &mine) : s_(state), arena_(arena), mine_(mine) {}

    void reset(uint64_t offset);
    /// Takes over the peer's consumed count. False: it is impossible (fell, or passed what was sent).
    bool believe_consumed(uint64_t consumed);
    [[nodiscard]] size_t room() const {
        const uint64_t window = SANSOCK_MUTATE("WINDOW_OVER_ROOM", s_.window, 2 * s_.window);
        return window - std::min(window, s_.out.load(std::memory_order_relaxed) - s_.consumed);
    }
    /// Room for at least one byte at the tail: the space that the next copy may fill, at most `wanted` bytes; size 0: none.
    struct Space {
        uint8_t *data;
        size_t size;
    };
    Space space(size_t wanted);
    /// Whether space() would find any: buffers may be short even where the window is not.
    [[nodiscard]] bool has_space();
    /// Publishes `size` bytes that were copied into the last space().
    void publish(size_t size);
    /// The kept bytes from `offset` on, as far as they are contiguous; size 0 when offset == out.
    [[nodiscard]] Run kept(uint64_t offset) const;
    /// Nothing is unread and nobody sends: the open buffer is not needed.
    void rest();
    /// Gives every buffer back.
    void release_all();
    /// After the death of a sibling that was writing: what it had begun is as if it had not been.
    void repair();
    /// Nothing will be written here any more: every buffer comes back as soon as the peer has left the slot, too.
    void leave();

private:
    [[nodiscard]] uint8_t *memory_of(uint16_t buffer) const {
        return buffer == memory::kInlineBuffer ? mine_.inline_buffer : arena_.buffer(buffer);
    }
    [[nodiscard]] size_t capacity_of(uint16_t buffer) const {
        return buffer == memory::kInlineBuffer ? memory::kInlineSize : arena_.shape().buffer_size;
    }
    void open_segment(uint16_t buffer, uint64_t start);
    void close_segment();
    void give(uint16_t buffer);
    void move_to(uint16_t buffer);
    void reclaim();
    bool open_next(size_t wanted);

    OutState &s_;
    memory::Arena &arena_;
    memory::Slot &mine_;
};

/// Reads the peer's window. Call with the in lock held. Everything that it takes from the peer is checked: a peer that lies
/// gets kLie, never an access outside its own arena.
class WindowReader {
public:
    WindowReader(InState &state, const memory::PeerArena &arena, const memory::Slot &peer, uint64_t window_max)
        : s_(state), arena_(arena), peer_(peer), window_max_(window_max) {}

    enum class Answer { kBytes, kEmpty, kLie };
    /// The unread bytes from `offset` (>= in) on, as far as they are contiguous.
    Answer peek(uint64_t offset, Run &run);
    void reset(uint64_t offset) { s_.tail = offset; }
    /// All unread bytes, contiguous or not; 0 also when the peer lies (peek() tells).
    size_t unread();

private:
    bool believe_tail();
    bool find_closed(uint64_t offset, uint64_t &word, uint64_t &end);

    InState &s_;
    const memory::PeerArena &arena_;
    const memory::Slot &peer_;
    uint64_t window_max_;
};

// --- data path ---

inline bool WindowWriter::believe_consumed(uint64_t consumed) {
    if (consumed > s_.out.load(std::memory_order_relaxed)) return false;
    // Until the peer has read TCP up to X, it reports less; after that its count never falls.
    if (consumed < s_.consumed) return consumed < s_.switched_at && s_.consumed == s_.switched_at;
    s_.consumed = consumed;
    return true;
}

inline WindowWriter::Space WindowWriter::space(size_t wanted) {
    const uint64_t out = s_.out.load(std::memory_order_relaxed);
    size_t used = out - s_.segment_start;
    size_t capacity = capacity_of(s_.segment_buffer);
    if (used + wanted > capacity || (used != 0 && s_.consumed == out)) {
        if (!open_next(wanted)) return {nullptr, 0};
        used = out - s_.segment_start;
        capacity = capacity_of(s_.segment_buffer);
    }
    return {memory_of(s_.segment_buffer) + used, std::min(wanted, capacity - used)};
}

inline void WindowWriter::publish(size_t size) {
    const uint64_t out = s_.out.load(std::memory_order_relaxed) + size;
    s_.out.store(out, std::memory_order_relaxed);
    mine_.hot.tail.store(SANSOCK_MUTATE("SEND_BEFORE_PUBLISH", out, out - size), std::memory_order_release);
}

inline bool WindowReader::believe_tail() {
    const uint64_t tail = peer_.hot.tail.load(std::memory_order_acquire);
    if (tail < s_.tail || tail - s_.in.load(std::memory_order_relaxed) > window_max_) return false;
    s_.tail = tail;
    return true;
}

}  // namespace sansock::stream
