// An arena is registered in pieces: as much as connections may come to use, and each slot and buffer in one of them.
#include "path/registered.hpp"

#include <gtest/gtest.h>

#include <map>

namespace sansock::path {
namespace {

constexpr uint32_t kBufferSize = 8192;
constexpr uint32_t kBuffers = 1000;

/// A provider's regions: where each begins, and how long it is.
struct Registry {
    std::map<const uint8_t *, uint64_t> regions;
    uint64_t left = UINT64_MAX;  ///< Bytes that may be registered still.

    auto adds() {
        return [this](void *base, uint64_t length) -> sansock_region * {
            if (length > left) return nullptr;
            left -= length;
            EXPECT_EQ(reinterpret_cast<uintptr_t>(base) % memory::kPage, 0U);
            EXPECT_EQ(length % memory::kPage, 0U);
            regions[static_cast<uint8_t *>(base)] = length;
            return static_cast<sansock_region *>(base);  // is known by where it begins
        };
    }
    /// Whether all of it lies in the region.
    bool holds(const sansock_region *region, const uint8_t *begin, uint64_t length) const {
        const auto found = regions.find(reinterpret_cast<const uint8_t *>(region));
        return found != regions.end() && begin >= found->first && begin + length <= found->first + found->second;
    }
    uint64_t total() const {
        uint64_t all = 0;
        for (const auto &[base, length] : regions) all += length;
        return all;
    }
};

struct Pieces : ::testing::Test {
    Pieces() {
        EXPECT_EQ(arena.create(kBufferSize, uint64_t{kBuffers} * kBufferSize), 0);
        registered.open(arena);
    }
    ~Pieces() override { arena.close(); }

    memory::Arena arena;
    Registered registered;
    Registry registry;
};

TEST_F(Pieces, HoldEachBufferThatWasCovered) {
    for (const uint32_t count : {1U, 5U, 6U, 12U, 13U, 100U, kBuffers}) {
        ASSERT_TRUE(registered.cover_buffers(count, registry.adds()));
        for (uint32_t index = 0; index < count; ++index) {
            ASSERT_TRUE(registry.holds(registered.of(arena.buffer(index)), arena.buffer(index), kBufferSize)) << index;
            ASSERT_TRUE(registry.holds(registered.of(arena.buffer(index) + kBufferSize - 1), arena.buffer(index), kBufferSize)) << index;
        }
        EXPECT_LE(registry.total(), (2 * count + 4) * kBufferSize) << "half of it is in vain, at most";
    }
}

TEST_F(Pieces, HoldEachSlotThatWasCovered) {
    for (const uint32_t index : {0U, 3U, 4U, 11U, 12U, 500U, memory::kSlotsPerArena - 1}) {
        ASSERT_TRUE(registered.cover_slot(index, registry.adds()));
        const auto *slot = reinterpret_cast<const uint8_t *>(&arena.slot(index));
        EXPECT_TRUE(registry.holds(registered.of(slot + 100), slot, memory::kSlotSize)) << index;
    }
}

TEST_F(Pieces, NeverReachBeyondTheArena) {
    ASSERT_TRUE(registered.cover_buffers(UINT32_MAX, registry.adds()));
    for (uint32_t index = 0; index < memory::kSlotsPerArena; ++index) ASSERT_TRUE(registered.cover_slot(index, registry.adds()));
    const auto *begin = reinterpret_cast<const uint8_t *>(&arena.header());
    for (const auto &[base, length] : registry.regions) {
        EXPECT_GE(base, begin);
        EXPECT_LE(base + length, begin + arena.shape().size());
    }
    EXPECT_EQ(registry.total(), arena.shape().size() - memory::kHeaderSize);
}

TEST_F(Pieces, OfWhichOneIsRefusedStayWhatTheyAre) {
    registry.left = uint64_t{12} * kBufferSize;
    EXPECT_TRUE(registered.cover_buffers(12, registry.adds()));
    EXPECT_FALSE(registered.cover_buffers(13, registry.adds()));
    EXPECT_TRUE(registry.holds(registered.of(arena.buffer(11)), arena.buffer(11), kBufferSize));
    EXPECT_EQ(registered.of(arena.buffer(12)), nullptr);
    registry.left = UINT64_MAX;
    EXPECT_TRUE(registered.cover_buffers(13, registry.adds()));
}

TEST_F(Pieces, AreGivenBackOnce) {
    ASSERT_TRUE(registered.cover_buffers(100, registry.adds()) && registered.cover_slot(0, registry.adds()));
    registered.close([&](sansock_region *region) { EXPECT_EQ(registry.regions.erase(reinterpret_cast<uint8_t *>(region)), 1U); });
    EXPECT_TRUE(registry.regions.empty());
    EXPECT_FALSE(registered.is_open());
}

TEST_F(Pieces, LimitWhatIsTaken) {
    arena.limit_buffers(0);
    EXPECT_FALSE(arena.has_buffers());
    EXPECT_FALSE(arena.take_buffer());
    arena.limit_buffers(2);
    const auto first = arena.take_buffer(), second = arena.take_buffer();
    ASSERT_TRUE(first && second);
    EXPECT_LT(std::max(*first, *second), 2);
    EXPECT_FALSE(arena.take_buffer());
    EXPECT_FALSE(arena.has_buffers());
    arena.give_buffer(*first);
    EXPECT_EQ(arena.take_buffer(), first);
}

}  // namespace
}  // namespace sansock::path
