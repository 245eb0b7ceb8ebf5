#include "base/guarded_copy.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>

namespace sansock {
namespace {

constexpr size_t kPage = 4096;
/// Around every change of method in the copy, and several pages.
constexpr size_t kSizes[] = {0,  1,   2,   3,   7,   8,   9,   15,  16,  17,  31,  32,   33,   63,  64,
                             65, 100, 255, 256, 257, 319, 320, 321, 511, 512, 513, 1000, 4096, 5000};

void on_fault(int number, siginfo_t *, void *context) {
    if (!recover_guarded_copy(context)) signal(number, SIG_DFL);
}

/// Four readable pages between two that are not there.
class Island {
public:
    Island() {
        base_ = static_cast<uint8_t *>(mmap(nullptr, kAll, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        mprotect(base_ + kPage, kSize, PROT_READ | PROT_WRITE);
    }
    ~Island() { munmap(base_, kAll); }
    [[nodiscard]] uint8_t *begin() const { return base_ + kPage; }
    [[nodiscard]] uint8_t *end() const { return base_ + kPage + kSize; }

private:
    static constexpr size_t kSize = 4 * kPage, kAll = kSize + 2 * kPage;
    uint8_t *base_;
};

using Copy = bool (*)(void *, const void *, size_t);

class GuardedCopy : public testing::TestWithParam<Copy> {
protected:
    GuardedCopy() {
        struct sigaction action {};
        action.sa_sigaction = &on_fault;
        action.sa_flags = SA_SIGINFO;
        sigaction(SIGSEGV, &action, &before_);
        for (uint8_t *at = from.begin(); at != from.end(); ++at) *at = static_cast<uint8_t>((at - from.begin()) * 7 + 1);
    }
    ~GuardedCopy() override { sigaction(SIGSEGV, &before_, nullptr); }

    Island from, to;

private:
    struct sigaction before_ {};
};

TEST_P(GuardedCopy, CopiesEverySizeAtEveryAlignmentAndNothingElse) {
    for (const size_t size : kSizes) {
        for (size_t shift = 0; shift < 17; ++shift) {
            uint8_t *target = to.begin() + 64 + (shift * 5) % 16;
            const uint8_t *source = from.begin() + shift;
            std::memset(to.begin(), 0xee, size + 256);
            ASSERT_TRUE(GetParam()(target, source, size)) << size << " bytes, shift " << shift;
            ASSERT_EQ(std::memcmp(target, source, size), 0) << size << " bytes, shift " << shift;
            ASSERT_EQ(target[-1], 0xee);
            ASSERT_EQ(target[size], 0xee);
        }
    }
}

TEST_P(GuardedCopy, ReachesTheLastByteBeforeAHole) {
    for (const size_t size : kSizes) {
        EXPECT_TRUE(GetParam()(to.begin(), from.end() - size, size)) << size;
        EXPECT_TRUE(GetParam()(to.end() - size, from.begin(), size)) << size;
    }
}

TEST_P(GuardedCopy, AnswersFalseForABadSource) {
    for (const size_t size : kSizes) {
        if (size == 0) continue;
        for (const size_t missing : {size_t{1}, size_t{2}, size_t{9}, size_t{17}, size / 2, size}) {
            if (missing == 0 || missing > size) continue;
            EXPECT_FALSE(GetParam()(to.begin(), from.end() - (size - missing), size)) << size << " bytes, " << missing << " missing behind";
            EXPECT_FALSE(GetParam()(to.begin(), from.begin() - missing, size)) << size << " bytes, " << missing << " missing in front";
        }
        EXPECT_FALSE(GetParam()(to.begin(), nullptr, size));
        EXPECT_FALSE(GetParam()(to.begin(), reinterpret_cast<void *>(uintptr_t{1} << 63), size));  // not an address at all
    }
}

TEST_P(GuardedCopy, AnswersFalseForABadTarget) {
    for (const size_t size : kSizes) {
        if (size == 0) continue;
        for (const size_t missing : {size_t{1}, size_t{9}, size_t{17}, size / 2, size}) {
            if (missing == 0 || missing > size) continue;
            EXPECT_FALSE(GetParam()(to.end() - (size - missing), from.begin(), size)) << size << " bytes, " << missing << " missing behind";
        }
        EXPECT_FALSE(GetParam()(nullptr, from.begin(), size));
    }
}

TEST_P(GuardedCopy, LeavesOtherFaultsToOthers) {
    EXPECT_EXIT({ *const_cast<volatile char *>(reinterpret_cast<char *>(from.end())) = 1; }, testing::KilledBySignal(SIGSEGV), "");
}

INSTANTIATE_TEST_SUITE_P(Both, GuardedCopy, testing::Values(&guarded_copy, &guarded_copy_past_cache),
                         [](const auto &which) { return which.index == 0 ? "ThroughTheCache" : "PastTheCache"; });

}  // namespace
}  // namespace sansock
