#include "stream/window.hpp"

#include <atomic>
#include <random>
#include <thread>

#include "window_support.hpp"

namespace sansock::stream {
namespace {

using memory::kInlineBuffer;
using memory::kInlineSize;
using memory::SegmentWord;

class Window : public WindowTest {
protected:
    /// In the mapping of the writer, how far the open segment's next byte lies behind its front.
    [[nodiscard]] uint64_t filled() const { return out.out - out.segment_start; }
};

TEST_F(Window, CarriesASmallMessageInline) {
    EXPECT_EQ(write(64), 64u);
    EXPECT_EQ(out.segment_buffer, kInlineBuffer);
    EXPECT_EQ(slot->inline_buffer[63], byte_at(63));
    EXPECT_EQ(read(1000), 64u);
}

TEST_F(Window, StartsAtTheFrontAgainWhenEverythingIsConsumed) {
    for (int i = 0; i < 1000; ++i) {
        ASSERT_EQ(write(100), 100u);
        ASSERT_EQ(filled(), 100u) << "message " << i << " touched a new cache line";
        ASSERT_EQ(read(100), 100u);
    }
    EXPECT_EQ(arena.buffers_taken(), 0u);
}

TEST_F(Window, TakesABufferForALargeMessageAndKeepsItWarm) {
    EXPECT_EQ(write(kBufferSize), kBufferSize);
    const uint16_t buffer = out.segment_buffer;
    EXPECT_NE(buffer, kInlineBuffer);
    EXPECT_EQ(read(kBufferSize), kBufferSize);
    EXPECT_EQ(write(kBufferSize), kBufferSize);
    EXPECT_EQ(out.segment_buffer, buffer);
    EXPECT_EQ(read(kBufferSize), kBufferSize);
    EXPECT_EQ(arena.buffers_taken(), 1u);
}

TEST_F(Window, GivesABufferBackForASmallMessage) {
    write(kBufferSize);
    read(kBufferSize);
    write(10);
    EXPECT_EQ(out.segment_buffer, kInlineBuffer);
    EXPECT_EQ(arena.buffers_taken(), 0u);
    EXPECT_EQ(read(10), 10u);
}

/// A sibling was killed between listing the full segment as closed and opening the next one.
TEST_F(Window, GoesOnWhereAKilledWriterHadClosedItsSegment) {
    EXPECT_EQ(write(kBufferSize), kBufferSize);
    const uint64_t word = slot->hot.segment.load();
    slot->closed[out.closed % memory::kSegmentsPerSlot].word.store(word);
    slot->closed[out.closed % memory::kSegmentsPerSlot].end.store(out.out.load());
    slot->hot.closed.store(++out.closed);
    writer().repair();
    EXPECT_EQ(out.buffers_held, 1u);
    EXPECT_EQ(write(kBufferSize), kBufferSize);
    EXPECT_EQ(read(2 * kBufferSize), 2 * kBufferSize);
    EXPECT_EQ(write(10), 10u);
    EXPECT_EQ(read(10), 10u);
    EXPECT_EQ(arena.buffers_taken(), 0u) << "a buffer was given back twice, or not at all";
}

TEST_F(Window, TakesNoMoreThanItsWindowOrItsBuffers) {
    EXPECT_EQ(write(10 * kWindow), kWindow);
    EXPECT_EQ(writer().room(), 0u);
    EXPECT_LE(out.buffers_held, kBuffersMax);
    EXPECT_EQ(read(1), 1u);
    EXPECT_LE(write(10), 1u) << "room for what was consumed, no more";
    EXPECT_EQ(read(10 * kWindow), out.out - 1);
}

TEST_F(Window, CarriesOnInlineWhenTheArenaIsEmpty) {
    while (arena.take_buffer()) {
    }
    uint64_t moved = 0;
    while (moved < 50'000) {
        const size_t written = write(3000);
        ASSERT_GT(written, 0u);
        moved += written;
        ASSERT_EQ(read(3000), written);
    }
    EXPECT_EQ(out.buffers_held, 0u);
}

TEST_F(Window, FindsClosedSegmentsWhenTheReaderIsBehind) {
    // Much more often than the list has places.
    for (uint32_t i = 0; i < 4 * memory::kSegmentsPerSlot; ++i) {
        write(kBufferSize - 1);
        write(kBufferSize);
        read(kBufferSize / 2);
        write(700);
        ASSERT_GT(read(2 * kBufferSize), 0u);
    }
    read(kWindow);
    EXPECT_EQ(in.in, out.out);
    EXPECT_GT(slot->hot.closed.load(), 2 * memory::kSegmentsPerSlot);
}

/// A reader that has long found all in the open segment, and a writer in the middle of listing one more: the place of an old segment
/// shows the old start and the new end, which is no segment at all.
TEST_F(Window, TakesNoEntryThatIsBeingWrittenAnew) {
    for (uint32_t i = 0; i < memory::kSegmentsPerSlot; ++i) {
        write(kBufferSize + 1);
        read(kBufferSize + 1);
    }
    write(kBufferSize);
    write(kBufferSize);
    ASSERT_GT(out.closed, memory::kSegmentsPerSlot);
    in.closed_read = out.closed - memory::kSegmentsPerSlot;
    slot->closed[out.closed % memory::kSegmentsPerSlot].end.store(out.out);
    EXPECT_EQ(read(2 * kBufferSize), 2 * kBufferSize);
}

TEST_F(Window, FindsClosedSegmentsWhileTheListGoesRound) {
    constexpr uint64_t kBytes = 40'000'000;
    std::atomic<uint64_t> consumed{0};
    std::thread writing([&] {
        while (out.out < kBytes) {
            WindowWriter window = writer();
            ASSERT_TRUE(window.believe_consumed(consumed.load(std::memory_order_acquire)));
            const size_t room = window.room();
            // A small buffer that is full at once, so that segments are many.
            const auto space = room == 0 ? WindowWriter::Space{} : window.space(std::min<size_t>(kBufferSize, room));
            for (size_t i = 0; i < space.size; ++i) space.data[i] = byte_at(out.out + i);
            if (space.size > 0) window.publish(space.size);
        }
    });
    while (in.in < kBytes && !HasFailure()) {
        read(kBufferSize);
        consumed.store(in.in, std::memory_order_release);
    }
    consumed.store(UINT64_MAX >> 1);
    writing.join();
    EXPECT_GT(slot->hot.closed.load(), 2 * memory::kSegmentsPerSlot);
}

TEST_F(Window, KeepsWhatIsNotConsumedForARepeat) {
    write(500);
    write(kBufferSize);
    write(2 * kBufferSize);
    read(300);
    WindowWriter window = writer();
    window.believe_consumed(in.in);
    uint64_t at = in.in;
    while (at < out.out) {
        const stream::Run run = window.kept(at);
        ASSERT_GT(run.size, 0u);
        for (size_t i = 0; i < run.size; ++i) ASSERT_EQ(run.data[i], byte_at(at + i));
        at += run.size;
    }
    EXPECT_EQ(at, out.out);
    EXPECT_EQ(window.kept(out.out).size, 0u);
}

TEST_F(Window, GivesEverythingBackAtTheEnd) {
    write(kWindow);
    EXPECT_GT(arena.buffers_taken(), 0u);
    writer().release_all();
    EXPECT_EQ(arena.buffers_taken(), 0u);
    EXPECT_EQ(out.buffers_held, 0u);
}

TEST_F(Window, ServesASecondStay) {
    write(3 * kBufferSize + 5);
    read(kBufferSize);
    writer().release_all();
    start_at(out.out + 12'345);
    EXPECT_EQ(write(2000), 2000u);
    EXPECT_EQ(read(5000), 2000u);
    EXPECT_EQ(write(2 * kBufferSize), 2 * kBufferSize);
    EXPECT_EQ(read(3 * kBufferSize), 2 * kBufferSize);
}

TEST_F(Window, CrossesTheEndOf48Bits) {
    start_at((uint64_t{1} << 48) - 3 * kBufferSize - 7);
    for (int i = 0; i < 40; ++i) {
        ASSERT_GT(write(kBufferSize / 2 + 100), 0u);
        ASSERT_GT(read(kBufferSize / 2), 0u);
    }
    EXPECT_GT(in.in, uint64_t{1} << 48);
}

TEST_F(Window, NeverLosesAByteWhateverTheSizes) {
    for (uint32_t seed = 0; seed < 200; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        start_at(random());
        // Somebody else holds some buffers for a while.
        std::vector<uint16_t> taken;
        for (int i = 0; i < 300 && !HasFailure(); ++i) {
            const uint32_t largest = random() % 4 == 0 ? kWindow : 300;
            write(random() % largest);
            read(random() % largest);
            if (random() % 8 == 0 && taken.size() < kBuffers) {
                if (const auto buffer = arena.take_buffer()) taken.push_back(*buffer);
            } else if (random() % 8 == 0 && !taken.empty()) {
                arena.give_buffer(taken.back());
                taken.pop_back();
            }
        }
        read(kWindow);
        ASSERT_EQ(in.in, out.out);
        for (const uint16_t buffer : taken) arena.give_buffer(buffer);
        writer().release_all();
        ASSERT_EQ(arena.buffers_taken(), 0u);
    }
}

}  // namespace
}  // namespace sansock::stream
