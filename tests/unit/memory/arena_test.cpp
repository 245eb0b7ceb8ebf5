#include "memory/arena.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <set>
#include <vector>

namespace sansock::memory {
namespace {

constexpr uint32_t kBufferSize = 8192;
constexpr uint32_t kBuffers = 8;

class ArenaTest : public testing::Test {
protected:
    ArenaTest() { EXPECT_EQ(sut.create(kBufferSize, uint64_t{kBuffers} * kBufferSize), 0); }
    ~ArenaTest() override { sut.close(); }

    Arena sut;
};

TEST_F(ArenaTest, SaysWhatItIs) {
    const Header &head = sut.header();
    EXPECT_EQ(head.magic, kArenaMagic);
    EXPECT_EQ(head.version, kLayoutVersion);
    EXPECT_EQ(head.slots, kSlotsPerArena);
    EXPECT_EQ(head.buffer_size, kBufferSize);
    EXPECT_EQ(head.buffers, kBuffers);
    EXPECT_EQ(head.size, sut.shape().size());
}

TEST_F(ArenaTest, CanNeverBeResizedOrWrittenThroughAnotherMapping) {
    EXPECT_EQ(fcntl(sut.fd(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    EXPECT_EQ(ftruncate(sut.fd(), 0), -1);
    EXPECT_EQ(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, sut.fd(), 0), MAP_FAILED);
    EXPECT_EQ(pwrite(sut.fd(), "x", 1, 0), -1);
}

TEST_F(ArenaTest, AllotsEverySlotOnceThenNone) {
    std::set<uint32_t> taken;
    for (uint32_t i = 0; i < kSlotsPerArena; ++i) {
        const auto slot = sut.take_slot();
        ASSERT_TRUE(slot);
        EXPECT_LT(*slot, kSlotsPerArena);
        EXPECT_TRUE(taken.insert(*slot).second) << "slot " << *slot << " was allotted twice";
    }
    EXPECT_FALSE(sut.take_slot());
    EXPECT_EQ(sut.slots_taken(), kSlotsPerArena);
    sut.give_slot(17);
    EXPECT_EQ(sut.take_slot(), 17u);
}

TEST_F(ArenaTest, HandsOutSlotsWithNothingOfTheLastConnection) {
    const uint32_t index = sut.take_slot().value();
    Slot &slot = sut.slot(index);
    std::memset(static_cast<void *>(&slot.hot), 0xff, sizeof slot.hot);
    std::memset(static_cast<void *>(&slot.cold), 0xff, sizeof slot.cold);
    sut.give_slot(index);
    ASSERT_EQ(sut.take_slot(), index);
    const HotLine hot{};
    const ColdWords cold{};
    EXPECT_EQ(std::memcmp(&slot.hot, &hot, sizeof hot), 0);
    EXPECT_EQ(std::memcmp(&slot.cold, &cold, sizeof cold), 0);
}

TEST_F(ArenaTest, FreesASlotOnceBothEndsHaveLeftIt) {
    const uint32_t ours_first = sut.take_slot().value(), theirs_first = sut.take_slot().value();
    sut.end_slot(ours_first, Arena::kOurEnd);
    sut.end_slot(ours_first, Arena::kOurEnd);  // a peer may repeat itself
    EXPECT_EQ(sut.slots_taken(), 2u);
    sut.end_slot(ours_first, Arena::kPeerEnd);
    EXPECT_EQ(sut.slots_taken(), 1u);
    sut.end_slot(theirs_first, Arena::kPeerEnd);
    EXPECT_EQ(sut.slots_taken(), 1u);
    sut.end_slot(theirs_first, Arena::kOurEnd);
    EXPECT_EQ(sut.slots_taken(), 0u);
}

TEST_F(ArenaTest, AllotsEveryBufferOnceThenNone) {
    std::set<uint16_t> taken;
    for (uint32_t i = 0; i < kBuffers; ++i) {
        const auto buffer = sut.take_buffer();
        ASSERT_TRUE(buffer);
        EXPECT_LT(*buffer, kBuffers);
        EXPECT_TRUE(taken.insert(*buffer).second);
        std::memset(sut.buffer(*buffer), 0xaa, kBufferSize);
    }
    EXPECT_FALSE(sut.take_buffer());
    EXPECT_EQ(sut.buffers_taken(), kBuffers);
    EXPECT_EQ(sut.header().magic, kArenaMagic) << "a buffer lies over the header";
}

TEST_F(ArenaTest, GoesRoundThroughAllBuffersThoughFewAreTakenAtATime) {
    std::set<uint16_t> taken;
    for (uint32_t i = 0; i < 10 * kBuffers; ++i) {
        const auto one = sut.take_buffer().value(), other = sut.take_buffer().value();
        taken.insert({one, other});
        sut.give_buffer(one);
        sut.give_buffer(other);
    }
    EXPECT_EQ(taken.size(), kBuffers);
}

TEST_F(ArenaTest, GivesTheBufferThatCameBackFirst) {
    std::vector<uint16_t> taken;
    while (const auto buffer = sut.take_buffer()) taken.push_back(*buffer);
    for (const uint16_t buffer : taken) sut.give_buffer(buffer);
    for (const uint16_t buffer : taken) EXPECT_EQ(sut.take_buffer(), buffer);
}

TEST_F(ArenaTest, GetsBuffersThatAPeerMayStillReadBackWithTheirSlot) {
    const uint32_t slot = sut.take_slot().value(), other = sut.take_slot().value();
    const auto first = sut.take_buffer().value(), second = sut.take_buffer().value(), third = sut.take_buffer().value();
    sut.give_buffer_with_slot(first, slot);
    sut.give_buffer_with_slot(second, slot);
    sut.give_buffer_with_slot(third, other);
    EXPECT_EQ(sut.buffers_taken(), 3u);
    sut.end_slot(sut.index_of(sut.slot(slot)), Arena::kOurEnd);
    EXPECT_EQ(sut.buffers_taken(), 3u);
    sut.end_slot(slot, Arena::kPeerEnd);
    EXPECT_EQ(sut.buffers_taken(), 1u);
    EXPECT_EQ(sut.take_slot(), slot);
    sut.give_slot(slot);
    EXPECT_EQ(sut.buffers_taken(), 1u) << "given back once";
}

TEST_F(ArenaTest, IsAllottedFromTheSameListsAfterFork) {
    const auto mine = sut.take_buffer();
    const pid_t child = fork();
    if (child == 0) {
        forget_thread_id();
        _exit(static_cast<int>(sut.take_buffer().value_or(255)));
    }
    int status = 0;
    waitpid(child, &status, 0);
    const auto third = sut.take_buffer();
    EXPECT_NE(WEXITSTATUS(status), *mine);
    EXPECT_NE(WEXITSTATUS(status), *third);
    EXPECT_EQ(sut.buffers_taken(), 3u);
}

TEST(Arena, WithoutMemoryForBuffersHasSlotsAlone) {
    Arena sut;
    ASSERT_EQ(sut.create(kBufferSize, kBufferSize - 1), 0);
    EXPECT_FALSE(sut.take_buffer());
    EXPECT_TRUE(sut.take_slot());
    sut.close();
}

}  // namespace
}  // namespace sansock::memory
