// What the data path asks the processor: where it runs, what time it is, and to wait a moment.
#pragma once
#include <sched.h>
#include <sys/rseq.h>
#include <time.h>

#include <atomic>
#include <cstdint>

#include "base/point.hpp"

namespace sansock {

inline void cpu_relax() {
    SANSOCK_POINT("spin");
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

#if defined(SANSOCK_SIMULATED_KERNEL)
/// The simulation is the clock.
uint64_t now_ns();
#else
/// Nanoseconds of CLOCK_MONOTONIC; through the vDSO, so without a system call (about 30 ns).
inline uint64_t now_ns() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return static_cast<uint64_t>(ts.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(ts.tv_nsec);
}
#endif

/// The processor's tick counter: constant rate, the same on all CPUs.
inline uint64_t ticks() { return __builtin_ia32_rdtsc(); }

/// The CPU this thread runs on, from the restartable-sequences area that glibc (2.35 and later) registers: one load.
inline uint32_t current_cpu() {
    if (__rseq_size == 0) return static_cast<uint32_t>(sched_getcpu());
    const auto *area = reinterpret_cast<const struct rseq *>(static_cast<const char *>(__builtin_thread_pointer()) + __rseq_offset);
    return __atomic_load_n(&area->cpu_id, __ATOMIC_RELAXED);
}

/// Orders a store before a later load, against a peer that does the same the other way round.
inline void full_fence() { std::atomic_thread_fence(std::memory_order_seq_cst); }

}  // namespace sansock
