// Locks that outlive their owner: FamilyLock for memory that a process family shares across fork, ProcessLock for a process's
// own. Held for a copy, never across a wait.
//
// The word holds the owner's thread id, so that a waiter can tell a slow owner from one that is gone. A process that is killed
// while it holds a family's lock must not stop its siblings; and a child's copy of a lock that another thread of its parent held
// during the fork is nobody's. A compare-and-swap costs 6 ns where a robust mutex costs 16.
#pragma once
#include <fcntl.h>
#include <signal.h>

#include <atomic>
#include <cstdint>

#include "base/cpu.hpp"
#include "base/critical.hpp"
#include "base/futex.hpp"
#include "base/point.hpp"
#include "base/real.hpp"

namespace sansock {

inline thread_local uint32_t cached_thread_id __attribute__((tls_model("initial-exec"))) = 0;

inline uint32_t thread_id() {
    if (__builtin_expect(cached_thread_id == 0, 0)) cached_thread_id = static_cast<uint32_t>(raw_syscall(SYS_gettid));
    return cached_thread_id;
}

/// Only one thread lives on in a forked child, under a new id.
inline void forget_thread_id() { cached_thread_id = 0; }

enum class LockScope { kFamily, kProcess };

template <LockScope scope>
class OwnedLock {
public:
    void lock() {
        SANSOCK_POINT("lock.take");
        enter_critical();
        uint32_t expected = 0;
        if (__builtin_expect(!word_.compare_exchange_strong(expected, thread_id(), std::memory_order_acquire), 0)) lock_slow();
    }
    bool try_lock() {
        uint32_t expected = 0;
        enter_critical();
        if (word_.compare_exchange_strong(expected, thread_id(), std::memory_order_acquire)) return true;
        leave_critical();
        return false;
    }
    void unlock() {
        SANSOCK_POINT("lock.give");
        if (__builtin_expect((word_.exchange(0, std::memory_order_release) & kWaiters) != 0, 0)) futex_wake_all(&word_);
        leave_critical();
    }
    /// For the holder: whether the lock came from an owner who died holding it, so that what it guards may be half done. True once.
    [[nodiscard]] bool take_inherited() {
        return __builtin_expect(inherited_.load(std::memory_order_relaxed) != 0, 0) &&
               inherited_.exchange(0, std::memory_order_relaxed) != 0;
    }
    /// The owner has died, and nobody waits for the lock yet who would find out.
    [[nodiscard]] bool abandoned() const {
        const uint32_t owner = word_.load(std::memory_order_relaxed) & ~kWaiters;
        return owner != 0 && owner != thread_id() && owner_is_dead(owner);
    }
    [[nodiscard]] bool held_by_me() const { return (word_.load(std::memory_order_relaxed) & ~kWaiters) == thread_id(); }

private:
    static constexpr uint32_t kWaiters = 0x8000'0000u;  // thread ids have 22 bits
    static constexpr int kSpins = 200;                  // a few microseconds: longer than any copy of a small message
    static constexpr uint64_t kLookAgainNs = 10'000'000;

    void lock_slow() {
        const uint32_t me = thread_id();
        for (int spin = 0;; ++spin) {
            uint32_t seen = word_.load(std::memory_order_relaxed);
            if (seen == 0) {
                // Having waited, we cannot know whether others still do: keep the bit and let unlock() find out.
                if (word_.compare_exchange_weak(seen, spin < kSpins ? me : me | kWaiters, std::memory_order_acquire)) return;
                continue;
            }
            if (spin < kSpins) {
                cpu_relax();
                continue;
            }
            if ((seen & kWaiters) == 0 && !word_.compare_exchange_weak(seen, seen | kWaiters, std::memory_order_relaxed)) continue;
            if (futex_wait(&word_, seen | kWaiters, kLookAgainNs) == -ETIMEDOUT && owner_is_dead(seen & ~kWaiters)) {
                uint32_t dead = seen | kWaiters;
                if (word_.compare_exchange_strong(dead, me | kWaiters, std::memory_order_acquire)) {
                    inherited_.store(1, std::memory_order_relaxed);
                    return;
                }
            }
        }
    }
    static bool owner_is_dead(uint32_t tid) {
        if constexpr (scope == LockScope::kProcess) return raw_syscall(SYS_tgkill, raw_syscall(SYS_getpid), tid, 0) == -ESRCH;
        return raw_syscall(SYS_tkill, tid, 0) == -ESRCH || is_zombie(tid);
    }
    /// A killed process that its parent has not waited for yet can still be signalled, and will never give anything back.
    static bool is_zombie(uint32_t tid) {
        char path[32] = "/proc/";
        char digits[10];
        int count = 0, length = 6;
        for (uint32_t rest = tid; rest > 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
        while (count > 0) path[length++] = digits[--count];
        for (const char *name = "/stat"; *name != 0; ++name) path[length++] = *name;
        char text[256];
        const long fd = raw_syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
        if (fd < 0) return false;
        long size = raw_syscall(SYS_read, fd, text, sizeof text);
        raw_syscall(SYS_close, fd);
        // "1234 (any name) Z ...": the state stands behind the last parenthesis.
        while (size > 0 && text[size - 1] != ')') --size;
        return size > 0 && size + 1 < static_cast<long>(sizeof text) && (text[size + 1] == 'Z' || text[size + 1] == 'X');
    }

    std::atomic<uint32_t> word_{0};
    std::atomic<uint32_t> inherited_{0};
};

using FamilyLock = OwnedLock<LockScope::kFamily>;
using ProcessLock = OwnedLock<LockScope::kProcess>;

}  // namespace sansock
