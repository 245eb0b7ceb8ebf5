// Where a thread must not be interrupted by code that may come back to where it is: a signal handler that sends on a connection whose lock
// its own thread holds would wait for itself for ever, and one that jumps out would leave the lock held.
//
// Locks count how deep their thread is. Who stands in front of the application's handlers (preload/signals.cpp) holds a signal back that
// finds the count above zero, and leaves word here; the end of the section lets it in.
#pragma once
#include <atomic>
#include <cstdint>

namespace sansock {

inline thread_local uint32_t critical_depth __attribute__((tls_model("initial-exec"))) = 0;
/// Called, once, at the end of the section that the thread is in; nullptr: nothing waits for it.
inline thread_local void (*after_critical)() __attribute__((tls_model("initial-exec"))) = nullptr;

inline void enter_critical() {
    ++critical_depth;
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

inline void leave_critical() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (--critical_depth == 0 && __builtin_expect(after_critical != nullptr, 0)) after_critical();
}

/// Whether somebody stands in front of the application's handlers and keeps the next word.
inline std::atomic<bool> handlers_are_seen{false};
/// A handler has run in this thread that was installed without SA_RESTART, since this was last set to false.
inline thread_local bool interrupted __attribute__((tls_model("initial-exec"))) = false;

}  // namespace sansock
