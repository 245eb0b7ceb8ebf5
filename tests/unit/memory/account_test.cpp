// What arenas take together, and what they give back.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <vector>

#include "memory/arena.hpp"

namespace sansock::memory {
namespace {

constexpr uint32_t kBufferSize = 64 * 1024;
constexpr uint64_t kMaxMemory = 2 * kHeaderSize + 2 * kSlotSize + 4 * kBufferSize;

size_t resident_pages(const Arena &arena, uint32_t buffer) {
    std::vector<unsigned char> pages(kBufferSize / kPage);
    EXPECT_EQ(mincore(arena.buffer(buffer), kBufferSize, pages.data()), 0);
    size_t count = 0;
    for (const unsigned char page : pages) count += page & 1;
    return count;
}

TEST(Account, BoundsAllArenasTogether) {
    Account account{};
    Arena one, other;
    ASSERT_EQ(one.create(kBufferSize, kMaxMemory, &account), 0);
    ASSERT_EQ(other.create(kBufferSize, kMaxMemory, &account), 0);
    ASSERT_TRUE(one.take_slot() && other.take_slot());
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(one.take_buffer());
    const auto last = other.take_buffer();
    ASSERT_TRUE(last);
    EXPECT_FALSE(other.take_buffer()) << "four buffers are all that the limit allows";
    EXPECT_FALSE(one.take_buffer());
    EXPECT_FALSE(one.take_slot());
    EXPECT_EQ(account.charged(), kMaxMemory);
    Arena third;
    EXPECT_EQ(third.create(kBufferSize, kMaxMemory, &account), -ENOBUFS);
    other.give_buffer(*last);
    EXPECT_FALSE(one.take_buffer()) << "its pages are still there";
    other.trim(true);
    EXPECT_TRUE(one.take_buffer());
    one.close();
    other.close();
    EXPECT_EQ(account.charged(), 0u);
}

TEST(Account, IsLeftAloneByWhatFails) {
    Account account{};
    Arena sut;
    EXPECT_EQ(sut.create(kBufferSize, kHeaderSize - 1, &account), -ENOBUFS);
    EXPECT_EQ(account.charged(), 0u);
}

TEST(Trim, GivesBackWhatNobodyTookSinceTheLastTime) {
    Arena sut;
    ASSERT_EQ(sut.create(kBufferSize, 8 * kBufferSize), 0);
    const uint16_t busy = sut.take_buffer().value(), idle = sut.take_buffer().value();
    std::memset(sut.buffer(idle), 1, kBufferSize);
    sut.give_buffer(busy);
    sut.give_buffer(idle);
    EXPECT_EQ(sut.trim(false), 2u) << "both were in use a moment ago";
    const uint16_t again = sut.take_buffer().value();
    EXPECT_EQ(again, busy);
    sut.give_buffer(again);
    EXPECT_EQ(sut.trim(false), 1u);
    EXPECT_EQ(resident_pages(sut, idle), 0u);
    EXPECT_EQ(resident_pages(sut, busy), kBufferSize / kPage);
    EXPECT_EQ(sut.trim(false), 0u);
}

TEST(Trim, LeavesWhatIsInUse) {
    Arena sut;
    ASSERT_EQ(sut.create(kBufferSize, 8 * kBufferSize), 0);
    const uint16_t used = sut.take_buffer().value();
    std::memset(sut.buffer(used), 7, kBufferSize);
    EXPECT_EQ(sut.trim(true), 1u);
    EXPECT_EQ(sut.buffer(used)[kBufferSize - 1], 7);
}

TEST(Trim, AndTheReaderSeesZeros) {
    Arena sut;
    ASSERT_EQ(sut.create(kBufferSize, 8 * kBufferSize), 0);
    PeerArena reader;
    ASSERT_EQ(reader.map(sut.fd()), 0);
    const uint16_t index = sut.take_buffer().value();
    std::memset(sut.buffer(index), 7, kBufferSize);
    EXPECT_EQ(reader.buffer(index)[5], 7);
    sut.give_buffer(index);
    EXPECT_EQ(sut.trim(true), 0u);
    EXPECT_EQ(reader.buffer(index)[5], 0);
    EXPECT_EQ(sut.take_buffer(), index);
    sut.buffer(index)[5] = 9;
    EXPECT_EQ(reader.buffer(index)[5], 9);
}

TEST(Descriptor, OnlyReads) {
    Arena sut;
    ASSERT_EQ(sut.create(kBufferSize, kBufferSize), 0);
    EXPECT_EQ(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, sut.fd(), 0), MAP_FAILED);
    void *reading = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, sut.fd(), 0);
    ASSERT_NE(reading, MAP_FAILED);
    EXPECT_EQ(mprotect(reading, kPage, PROT_READ | PROT_WRITE), -1);
    munmap(reading, kPage);
}

}  // namespace
}  // namespace sansock::memory
