#include "stream/window.hpp"

#include "base/point.hpp"

namespace sansock::stream {

using memory::ClosedSegment;
using memory::kInlineBuffer;
using memory::kInlineSize;
using memory::kSegmentsPerSlot;
using memory::SegmentWord;

size_t Parts::total() const {
    size_t sum = 0;
    for (int i = 0; i < count_; ++i) sum += parts_[i].iov_len;
    return sum - used_;
}

void WindowWriter::reset(uint64_t offset) {
    s_.consumed = offset;
    s_.inline_free_at = offset;
    s_.reclaimed = s_.closed;
    open_segment(kInlineBuffer, offset);
    mine_.hot.tail.store(offset, std::memory_order_release);
}

void WindowWriter::open_segment(uint16_t buffer, uint64_t start) {
    s_.segment_buffer = buffer;
    s_.segment_start = start;
    SANSOCK_POINT("D1.full");
    mine_.hot.segment.store(SegmentWord::pack(start, buffer), std::memory_order_release);
}

void WindowWriter::give(uint16_t buffer) {
    arena_.give_buffer(buffer);
    --s_.buffers_held;
}

/// Lists the open segment, so that a reader who is behind finds it.
void WindowWriter::close_segment() {
    const uint64_t out = s_.out.load(std::memory_order_relaxed);
    if (s_.segment_buffer == kInlineBuffer) s_.inline_free_at = out;
    mine_.list(s_.closed, SegmentWord::pack(s_.segment_start, s_.segment_buffer), out);
    ++s_.closed;
    SANSOCK_POINT("D1.listed");
    mine_.hot.closed.store(s_.closed, std::memory_order_release);
}

/// Takes back the buffers of closed segments that the peer has consumed.
void WindowWriter::reclaim() {
    while (s_.reclaimed != s_.closed) {
        const ClosedSegment &entry = mine_.closed[s_.reclaimed % kSegmentsPerSlot];
        if (entry.end.load(std::memory_order_relaxed) > s_.consumed) return;
        const uint16_t buffer = SegmentWord::buffer(entry.word.load(std::memory_order_relaxed));
        ++s_.reclaimed;
        if (buffer != kInlineBuffer) give(buffer);
    }
}

/// Goes on in `buffer` from the tail on.
void WindowWriter::move_to(uint16_t buffer) {
    const uint64_t out = s_.out.load(std::memory_order_relaxed);
    const uint16_t left = s_.segment_buffer;
    const bool unread = s_.consumed != out;
    if (unread) close_segment();
    open_segment(buffer, out);
    if (!unread && left != kInlineBuffer && left != buffer) give(left);  // wholly consumed: nobody will look for it
}

/// The open segment cannot take `wanted` bytes, or everything in it is consumed: find a better place. True when there is room
/// for at least one byte.
bool WindowWriter::open_next(size_t wanted) {
    reclaim();
    const uint64_t out = s_.out.load(std::memory_order_relaxed);
    const bool all_consumed = s_.consumed == out;
    const bool in_inline = s_.segment_buffer == kInlineBuffer;
    const size_t left = capacity_of(s_.segment_buffer) - (out - s_.segment_start);

    const bool inline_free = all_consumed || (!in_inline && s_.inline_free_at <= s_.consumed);
    if (wanted <= kInlineSize && inline_free && (all_consumed || left == 0)) {
        move_to(kInlineBuffer);
        return true;
    }
    if (all_consumed && !in_inline) {
        move_to(s_.segment_buffer);  // start again at its front, which is in the cache
        return true;
    }
    // One buffer more: when the open one is full, or when it is the small one and the message is large.
    if ((left == 0 || in_inline) && s_.buffers_held < s_.buffers_max) {
        if (const auto buffer = arena_.take_buffer()) {
            ++s_.buffers_held;
            move_to(*buffer);
            return true;
        }
    }
    if (all_consumed) {  // no buffer to be had: the inline one still carries the stream
        move_to(kInlineBuffer);
        return true;
    }
    return left > 0;
}

bool WindowWriter::has_space() {
    reclaim();
    const uint64_t out = s_.out.load(std::memory_order_relaxed);
    const bool in_inline = s_.segment_buffer == kInlineBuffer;
    return s_.consumed == out || out - s_.segment_start < capacity_of(s_.segment_buffer) ||
           (!in_inline && s_.inline_free_at <= s_.consumed) || (s_.buffers_held < s_.buffers_max && arena_.has_buffers());
}

void WindowWriter::rest() {
    reclaim();
    if (s_.consumed == s_.out.load(std::memory_order_relaxed) && s_.segment_buffer != kInlineBuffer) move_to(kInlineBuffer);
}

Run WindowWriter::kept(uint64_t offset) const {
    const uint64_t out = s_.out.load(std::memory_order_relaxed);
    if (offset >= out) return {};
    if (offset >= s_.segment_start) {
        return {memory_of(s_.segment_buffer) + (offset - s_.segment_start), static_cast<size_t>(out - offset)};
    }
    for (uint32_t i = s_.reclaimed; i != s_.closed; ++i) {
        const ClosedSegment &entry = mine_.closed[i % kSegmentsPerSlot];
        const uint64_t word = entry.word.load(std::memory_order_relaxed);
        const uint64_t end = entry.end.load(std::memory_order_relaxed);
        if (offset < end && SegmentWord::covers(word, offset)) {
            return {memory_of(SegmentWord::buffer(word)) + SegmentWord::distance(word, offset), static_cast<size_t>(end - offset)};
        }
    }
    return {};
}

void WindowWriter::release_all() {
    s_.consumed = s_.out.load(std::memory_order_relaxed);
    reclaim();
    s_.reclaimed = s_.closed;
    const uint16_t left = s_.segment_buffer;
    open_segment(kInlineBuffer, s_.consumed);
    if (left != kInlineBuffer) give(left);
}

/// A sibling was killed in the middle. The published word says which segment is open; whether that one is listed as closed as well, and
/// which buffers were about to be taken or given, is not known to anybody else yet. Buffers in between are lost to the arena.
void WindowWriter::repair() {
    const uint64_t word = mine_.hot.segment.load(std::memory_order_relaxed);
    const uint64_t out = s_.out.load(std::memory_order_relaxed);
    s_.segment_buffer = SegmentWord::buffer(word);
    s_.segment_start = out - SegmentWord::distance(word, out);
    if (s_.closed != s_.reclaimed && mine_.closed[(s_.closed - 1) % kSegmentsPerSlot].word.load(std::memory_order_relaxed) == word)
        --s_.closed;
    mine_.hot.closed.store(s_.closed, std::memory_order_release);
    mine_.hot.tail.store(out, std::memory_order_release);
    uint16_t held = s_.segment_buffer != kInlineBuffer;
    for (uint32_t i = s_.reclaimed; i != s_.closed; ++i) {
        held += SegmentWord::buffer(mine_.closed[i % kSegmentsPerSlot].word.load(std::memory_order_relaxed)) != kInlineBuffer;
    }
    s_.buffers_held = held;
}

void WindowWriter::leave() {
    const uint32_t slot = arena_.index_of(mine_);
    while (s_.reclaimed != s_.closed) {
        const uint16_t buffer = SegmentWord::buffer(mine_.closed[s_.reclaimed++ % kSegmentsPerSlot].word.load(std::memory_order_relaxed));
        if (buffer != kInlineBuffer) arena_.give_buffer_with_slot(buffer, slot);
    }
    const uint16_t left = s_.segment_buffer;
    s_.segment_buffer = kInlineBuffer;
    s_.buffers_held = 0;
    if (left != kInlineBuffer) arena_.give_buffer_with_slot(left, slot);
}

/// The writer is at least a segment ahead of `offset`: looks it up among the closed ones.
bool WindowReader::find_closed(uint64_t offset, uint64_t &word, uint64_t &end) {
    const uint32_t closed = peer_.hot.closed.load(std::memory_order_acquire);
    if (closed - s_.closed_read >= kSegmentsPerSlot) s_.closed_read = closed - kSegmentsPerSlot + 1;
    const uint64_t in = s_.in.load(std::memory_order_relaxed);
    for (uint32_t i = s_.closed_read; i != closed; ++i) {
        const bool there = peer_.look_up(i, word, end);
        if (there && offset < end && SegmentWord::covers(word, offset)) return true;
        if ((!there || end <= in) && i == s_.closed_read) ++s_.closed_read;  // read to its end: never looked at again
    }
    return false;
}

WindowReader::Answer WindowReader::peek(uint64_t offset, Run &run) {
    if (offset >= s_.tail && !believe_tail()) return Answer::kLie;
    const uint64_t tail = s_.tail;
    if (offset >= tail) return Answer::kEmpty;

    uint64_t word = peer_.hot.segment.load(std::memory_order_acquire);
    uint64_t end = tail;
    SANSOCK_POINT("D2.looked-up");
    if (!SegmentWord::covers(word, offset)) {
        if (!find_closed(offset, word, end)) return Answer::kLie;
        end = std::min(end, tail);
    }
    const uint16_t buffer = SegmentWord::buffer(word);
    const uint64_t position = SegmentWord::distance(word, offset);
    const uint64_t size = end - offset;
    const uint64_t capacity = buffer == kInlineBuffer ? kInlineSize : arena_.shape().buffer_size;
    if (position > capacity || size > capacity - position) return Answer::kLie;
    if (buffer != kInlineBuffer && buffer >= arena_.shape().buffers) return Answer::kLie;
    run.data = (buffer == kInlineBuffer ? peer_.inline_buffer : arena_.buffer(buffer)) + position;
    run.size = size;
    return Answer::kBytes;
}

size_t WindowReader::unread() {
    if (!believe_tail()) return 0;
    return s_.tail - s_.in.load(std::memory_order_relaxed);
}

}  // namespace sansock::stream
