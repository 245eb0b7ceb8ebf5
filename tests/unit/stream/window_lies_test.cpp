// A peer that writes anything it likes into its own words: the answer is kLie or bytes of its own arena, never anything else.
#include <random>

#include "window_support.hpp"

namespace sansock::stream {
namespace {

using Answer = WindowReader::Answer;
using memory::SegmentWord;

class WindowLies : public WindowTest {
protected:
    /// What the reader says, after touching every byte that it was given.
    Answer look(uint64_t offset) {
        stream::Run run;
        const Answer answer = reader().peek(offset, run);
        if (answer != Answer::kBytes) return answer;
        const auto *begin = reinterpret_cast<const uint8_t *>(&peer_arena.header());
        EXPECT_GE(run.data, begin);
        EXPECT_LE(run.data + run.size, begin + peer_arena.shape().size());
        EXPECT_GT(run.size, 0u);
        unsigned sum = 0;
        for (size_t i = 0; i < run.size; ++i) sum += run.data[i];
        *const_cast<volatile unsigned *>(&sum) = sum;
        return answer;
    }
    Answer look() { return look(in.in); }
    memory::HotLine &hot() { return slot->hot; }
};

TEST_F(WindowLies, ATailThatFalls) {
    write(500);
    EXPECT_EQ(look(), Answer::kBytes);
    read(200);
    hot().tail = 100;
    EXPECT_EQ(look(), Answer::kBytes) << "what was believed once is there";
    read(300);
    EXPECT_EQ(look(), Answer::kLie);
    EXPECT_EQ(reader().unread(), 0u);
}

TEST_F(WindowLies, ATailFurtherThanTheArenaIsLarge) {
    hot().tail = kBuffers * kBufferSize + memory::kInlineSize + 1;
    EXPECT_EQ(look(), Answer::kLie);
    hot().tail = UINT64_MAX;
    EXPECT_EQ(look(), Answer::kLie);
}

TEST_F(WindowLies, MoreBytesThanTheInlineBufferHolds) {
    hot().tail = memory::kInlineSize + 1;
    EXPECT_EQ(look(), Answer::kLie);
    hot().tail = memory::kInlineSize;
    reader().reset(0);
    EXPECT_EQ(look(), Answer::kBytes);
}

TEST_F(WindowLies, MoreBytesThanABufferHolds) {
    hot().segment = SegmentWord::pack(0, 1);
    hot().tail = kBufferSize + 1;
    EXPECT_EQ(look(), Answer::kLie);
}

TEST_F(WindowLies, ABufferThatDoesNotExist) {
    for (const uint16_t buffer : {uint16_t{kBuffers}, uint16_t{kBuffers + 1}, uint16_t{0xfffe}}) {
        hot().segment = SegmentWord::pack(0, buffer);
        hot().tail = 100;
        EXPECT_EQ(look(), Answer::kLie) << buffer;
        reader().reset(0);
    }
}

TEST_F(WindowLies, ASegmentThatStartsLongAgo) {
    start_at(uint64_t{1} << 40);
    hot().segment = SegmentWord::pack(0, 0);
    hot().tail = (uint64_t{1} << 40) + 1;
    EXPECT_EQ(look(), Answer::kLie);
}

TEST_F(WindowLies, ASegmentThatStartsLaterAndNoClosedOne) {
    hot().segment = SegmentWord::pack(50, 0);
    hot().tail = 100;
    EXPECT_EQ(look(), Answer::kLie);
}

TEST_F(WindowLies, ClosedSegmentsThatWereNeverListed) {
    hot().segment = SegmentWord::pack(50, 0);
    hot().tail = 100;
    for (const uint32_t closed : {1u, memory::kSegmentsPerSlot, memory::kSegmentsPerSlot + 1, 1'000'000u, UINT32_MAX}) {
        hot().closed = closed;
        EXPECT_EQ(look(), Answer::kLie) << closed;
        reader().reset(0);
    }
}

TEST_F(WindowLies, AClosedSegmentThatEndsBehindTheTail) {
    hot().segment = SegmentWord::pack(50, 0);
    hot().tail = 100;
    hot().closed = 1;
    slot->closed[0].word = SegmentWord::pack(0, 1);
    slot->closed[0].end = UINT64_MAX;
    EXPECT_EQ(look(), Answer::kBytes) << "never more than the tail allows";
    slot->closed[0].word = SegmentWord::pack(0, 40'000);
    EXPECT_EQ(look(), Answer::kLie);
}

TEST_F(WindowLies, AConsumedCountThatCannotBe) {
    write(1000);
    WindowWriter window = writer();
    EXPECT_FALSE(window.believe_consumed(1001));
    EXPECT_FALSE(window.believe_consumed(UINT64_MAX));
    EXPECT_TRUE(window.believe_consumed(600));
    EXPECT_FALSE(window.believe_consumed(599));
    EXPECT_TRUE(window.believe_consumed(600));
    EXPECT_TRUE(window.believe_consumed(1000));
}

TEST_F(WindowLies, AConsumedCountBelowXIsNoneUntilTheReaderHasPassedX) {
    start_at(5000);
    write(100);
    WindowWriter window = writer();
    EXPECT_TRUE(window.believe_consumed(20)) << "it still reads TCP";
    EXPECT_EQ(out.consumed, 5000u);
    EXPECT_TRUE(window.believe_consumed(5001));
    EXPECT_FALSE(window.believe_consumed(4999)) << "it cannot go back before X";
}

TEST_F(WindowLies, AnythingAtAll) {
    for (uint32_t seed = 0; seed < 20'000; ++seed) {
        std::mt19937_64 random(seed);
        // Numbers near the truth are more dangerous than wild ones.
        auto number = [&](uint64_t near) -> uint64_t {
            switch (random() % 4) {
                case 0: return random();
                case 1: return near + random() % 8 - 4;
                case 2: return near + random() % (2 * kWindow);
                default: return random() % (uint64_t{1} << 16);
            }
        };
        start_at(random() % (uint64_t{1} << 49));
        in.closed_read = static_cast<uint32_t>(random() % 3 == 0 ? random() : 0);
        hot().tail = number(in.in);
        hot().segment = random() % 2 == 0 ? random() : SegmentWord::pack(number(in.in), static_cast<uint16_t>(random() % (kBuffers + 2)));
        hot().closed = static_cast<uint32_t>(number(in.closed_read));
        for (auto &entry : slot->closed) {
            if (random() % 4 != 0) continue;
            entry.word = SegmentWord::pack(number(in.in), static_cast<uint16_t>(random() % 3 == 0 ? random() : random() % (kBuffers + 1)));
            entry.end = number(in.in + 100);
        }
        SCOPED_TRACE("seed " + std::to_string(seed));
        for (int i = 0; i < 4 && !HasFailure(); ++i) {
            if (look() == Answer::kBytes) in.in += 1 + random() % (reader().unread() + 1) % 100;
            reader().unread();
        }
        if (HasFailure()) break;
    }
}

}  // namespace
}  // namespace sansock::stream
