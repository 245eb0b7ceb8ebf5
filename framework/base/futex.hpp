// The futex system call on words that other processes map. The word is compared by the kernel, so a change between the
// caller's look and its sleep is never slept through.
#pragma once
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "base/real.hpp"

namespace sansock {

/// Sleeps while `*word == expected`, at most `timeout_ns` (UINT64_MAX: for ever). Answers 0 or a negative errno: -EAGAIN (the word
/// had changed), -EINTR, -ETIMEDOUT.
inline int futex_wait(const std::atomic<uint32_t> *word, uint32_t expected, uint64_t timeout_ns) {
    timespec ts{static_cast<time_t>(timeout_ns / 1'000'000'000u), static_cast<long>(timeout_ns % 1'000'000'000u)};
    const long rc = raw_syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout_ns == UINT64_MAX ? nullptr : &ts, nullptr, 0);
    return static_cast<int>(rc);
}

/// Answers how many were asleep.
inline long futex_wake_all(const std::atomic<uint32_t> *word) {
    return raw_syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

/// The low half of a 64-bit counter, as the futex word of whoever waits for the counter to move.
inline const std::atomic<uint32_t> *low_word(const std::atomic<uint64_t> &counter) {
    static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of a counter comes first");
    return reinterpret_cast<const std::atomic<uint32_t> *>(&counter);
}

}  // namespace sansock
