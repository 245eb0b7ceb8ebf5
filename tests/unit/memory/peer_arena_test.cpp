#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <functional>

#include "memory/arena.hpp"

namespace sansock::memory {
namespace {

constexpr uint32_t kBufferSize = 4096;
constexpr int kAllSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

ArenaShape sound_shape() {
    ArenaShape shape;
    shape.buffer_size = kBufferSize;
    shape.buffers = 2;
    return shape;
}

/// A memfd as a peer might send it: a sound arena's header, spoilt by `spoil`, in a file of `size` bytes.
UniqueFd forge(
    size_t size, const std::function<void(Header &)> &spoil = [](Header &) {}, int seals = kAllSeals) {
    UniqueFd fd(memfd_create("forged", MFD_ALLOW_SEALING));
    EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size)), 0);
    alignas(Header) uint8_t bytes[sizeof(Header)] = {};
    auto &head = *reinterpret_cast<Header *>(bytes);
    head.magic = kArenaMagic;
    head.version = kLayoutVersion;
    head.slots = sound_shape().slots;
    head.buffer_size = sound_shape().buffer_size;
    head.buffers = sound_shape().buffers;
    head.size = sound_shape().size();
    spoil(head);
    const size_t length = std::min(size, sizeof bytes);
    EXPECT_EQ(pwrite(fd.get(), bytes, length, 0), static_cast<ssize_t>(length));
    EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
    return fd;
}

int mapped(int fd) {
    PeerArena sut;
    const int rc = sut.map(fd);
    EXPECT_EQ(sut.is_open(), rc == 0);
    sut.close();
    return rc;
}

int mapped_with(const std::function<void(Header &)> &spoil) { return mapped(forge(sound_shape().size(), spoil).get()); }

TEST(PeerArena, SeesWhatTheOwnerWrites) {
    Arena owner;
    ASSERT_EQ(owner.create(kBufferSize, 4 * kBufferSize), 0);
    PeerArena sut;
    ASSERT_EQ(sut.map(owner.fd()), 0);
    owner.forget_fd();
    const uint32_t slot = owner.take_slot().value();
    owner.slot(slot).hot.tail.store(77);
    owner.buffer(3)[kBufferSize - 1] = 42;
    EXPECT_EQ(sut.slot(slot).hot.tail.load(), 77u);
    EXPECT_EQ(sut.buffer(3)[kBufferSize - 1], 42);
    EXPECT_EQ(sut.shape().buffers, 4u);
    sut.close();
    owner.close();
}

TEST(PeerArena, IsReadOnlyForGood) {
    Arena owner;
    ASSERT_EQ(owner.create(kBufferSize, kBufferSize), 0);
    PeerArena sut;
    ASSERT_EQ(sut.map(owner.fd()), 0);
    EXPECT_EQ(mprotect(const_cast<Header *>(&sut.header()), kPage, PROT_READ | PROT_WRITE), -1);
    sut.close();
    owner.close();
}

TEST(PeerArena, TakesASoundOne) { EXPECT_EQ(mapped(forge(sound_shape().size()).get()), 0); }

TEST(PeerArena, RefusesAFileThatCouldStillShrinkOrGrow) {
    for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL}) {
        EXPECT_EQ(mapped(forge(
                             sound_shape().size(), [](Header &) {}, kAllSeals & ~missing)
                             .get()),
                  -EPROTO)
            << "without seal " << missing;
    }
}

TEST(PeerArena, RefusesWhatIsNoMemfd) {
    int pipes[2];
    ASSERT_EQ(pipe(pipes), 0);
    EXPECT_EQ(mapped(pipes[0]), -EPROTO);
    const UniqueFd reader(pipes[0]), writer(pipes[1]);
    const UniqueFd null(open("/dev/null", O_RDONLY));
    EXPECT_EQ(mapped(null.get()), -EPROTO);
    EXPECT_EQ(mapped(-1), -EPROTO);
}

TEST(PeerArena, RefusesAFileCutInEveryField) {
    const size_t whole = sound_shape().size();
    for (const size_t size : {size_t{0}, size_t{1}, offsetof(Header, version), offsetof(Header, slots), offsetof(Header, buffer_size),
                              offsetof(Header, buffers), offsetof(Header, size), offsetof(Header, log_head), offsetof(Header, parked),
                              offsetof(Header, log), sizeof(Header), kHeaderSize - 1, kHeaderSize, whole - 1, whole - kBufferSize}) {
        EXPECT_EQ(mapped(forge(size).get()), -EPROTO) << size << " bytes";
    }
    EXPECT_EQ(mapped(forge(whole + 1).get()), -EPROTO) << "a byte too many";
}

TEST(PeerArena, RefusesEveryFieldThatDoesNotFit) {
    EXPECT_EQ(mapped_with([](Header &head) { head.magic ^= 1; }), -EPROTO);
    EXPECT_EQ(mapped_with([](Header &head) { head.version += 1; }), -EPROTO);
    for (const uint32_t slots : {0u, kSlotsPerArena - 1, kSlotsPerArena + 1, UINT32_MAX}) {
        EXPECT_EQ(mapped_with([=](Header &head) { head.slots = slots; }), -EPROTO) << slots << " slots";
    }
    for (const uint32_t size : {0u, 1u, kBufferSize - 1, kBufferSize + 1, (1u << 20) + 1, UINT32_MAX}) {
        EXPECT_EQ(mapped_with([=](Header &head) { head.buffer_size = size; }), -EPROTO) << "buffers of " << size;
    }
    for (const uint32_t buffers : {0u, 1u, 3u, 65535u, UINT32_MAX}) {
        EXPECT_EQ(mapped_with([=](Header &head) { head.buffers = buffers; }), -EPROTO) << buffers << " buffers";
    }
    for (const uint64_t size : {uint64_t{0}, sound_shape().size() - 1, sound_shape().size() + 1, UINT64_MAX}) {
        EXPECT_EQ(mapped_with([=](Header &head) { head.size = size; }), -EPROTO) << "size " << size;
    }
}

TEST(PeerArena, RefusesShapesThatOnlyAddUpAfterOverflow) {
    EXPECT_EQ(mapped_with([](Header &head) {
                  head.buffers = 1u << 31;
                  head.buffer_size = 2 * kBufferSize;
                  head.size = sound_shape().size();
              }),
              -EPROTO);
}

}  // namespace
}  // namespace sansock::memory
