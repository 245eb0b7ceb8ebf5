#include "base/family_lock.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <new>
#include <thread>

namespace sansock {
namespace {

/// What a family shares across fork.
struct Shared {
    FamilyLock lock;
    uint64_t count = 0;  ///< Under the lock.
    std::atomic<uint32_t> held{0};
};

class FamilyLockTest : public testing::Test {
protected:
    FamilyLockTest() {
        void *memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        shared = new (memory) Shared;
    }
    ~FamilyLockTest() override { munmap(shared, sizeof(Shared)); }

    template <class Body>
    pid_t in_child(Body body) {
        const pid_t child = fork();
        if (child == 0) {
            forget_thread_id();
            body();
            _exit(0);
        }
        return child;
    }

    Shared *shared;
};

TEST_F(FamilyLockTest, ExcludesProcessesOfAFamily) {
    constexpr uint64_t kEach = 50'000;
    pid_t children[3];
    auto count_up = [&] {
        for (uint64_t i = 0; i < kEach; ++i) {
            shared->lock.lock();
            // Not one instruction, so that two inside at once lose a count.
            const uint64_t seen = *const_cast<volatile uint64_t *>(&shared->count);
            *const_cast<volatile uint64_t *>(&shared->count) = seen + 1;
            shared->lock.unlock();
        }
    };
    for (pid_t &child : children) child = in_child(count_up);
    count_up();
    for (const pid_t child : children) waitpid(child, nullptr, 0);
    EXPECT_EQ(shared->count, 4 * kEach);
}

TEST_F(FamilyLockTest, IsNotTakenTwice) {
    EXPECT_TRUE(shared->lock.try_lock());
    EXPECT_FALSE(shared->lock.try_lock());
    EXPECT_TRUE(shared->lock.held_by_me());
    shared->lock.unlock();
    EXPECT_FALSE(shared->lock.held_by_me());
    EXPECT_TRUE(shared->lock.try_lock());
}

TEST_F(FamilyLockTest, WakesAWaiterThatFellAsleep) {
    shared->lock.lock();
    std::thread waiter([&] {
        shared->lock.lock();
        shared->count = 1;
        shared->lock.unlock();
    });
    usleep(30'000);  // longer than it spins; when it is not, the test proves less and still passes
    shared->count = 2;
    shared->lock.unlock();
    waiter.join();
    EXPECT_EQ(shared->count, 1u);
}

TEST_F(FamilyLockTest, SurvivesAnOwnerThatDied) {
    waitpid(in_child([&] { shared->lock.lock(); }), nullptr, 0);
    EXPECT_TRUE(shared->lock.abandoned());
    shared->lock.lock();
    EXPECT_TRUE(shared->lock.held_by_me());
    EXPECT_TRUE(shared->lock.take_inherited()) << "what it guards may be half done";
    EXPECT_FALSE(shared->lock.take_inherited());
    shared->lock.unlock();
    EXPECT_TRUE(shared->lock.try_lock());
    EXPECT_FALSE(shared->lock.take_inherited());
}

TEST_F(FamilyLockTest, SurvivesADeadOwnerWhomNobodyHasReaped) {
    const pid_t child = in_child([&] { shared->lock.lock(); });
    siginfo_t info;
    waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);
    shared->lock.lock();
    EXPECT_TRUE(shared->lock.held_by_me());
    waitpid(child, nullptr, 0);
}

TEST_F(FamilyLockTest, IsGivenToOneHeirOnly) {
    waitpid(in_child([&] { shared->lock.lock(); }), nullptr, 0);
    pid_t children[3];
    for (pid_t &child : children) {
        child = in_child([&] {
            for (int i = 0; i < 1000; ++i) {
                shared->lock.lock();
                if (shared->held.exchange(1) != 0) _exit(1);
                shared->held.store(0);
                shared->lock.unlock();
            }
        });
    }
    for (const pid_t child : children) {
        int status = 0;
        waitpid(child, &status, 0);
        EXPECT_EQ(status, 0);
    }
}

}  // namespace
// A fork copies what other threads are in the middle of. The child has its own copy of the lock, and nobody to give it back.
TEST(ProcessLockTest, IsFreeInAChildWhoseParentsThreadHeldIt) {
    static ProcessLock sut;
    std::atomic<int> stage{0};
    std::thread holder([&] {
        sut.lock();
        stage = 1;
        while (stage != 2) std::this_thread::yield();
        sut.unlock();
    });
    while (stage != 1) std::this_thread::yield();
    const pid_t child = fork();
    if (child == 0) {
        forget_thread_id();
        alarm(20);  // a lock that is never had ends the child, and fails the test
        sut.lock();
        _exit(sut.held_by_me() ? 0 : 1);
    }
    int status = -1;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_FALSE(sut.try_lock()) << "the parent's lock is still its thread's";
    stage = 2;
    holder.join();
    EXPECT_TRUE(sut.try_lock());
    sut.unlock();
}

}  // namespace sansock
