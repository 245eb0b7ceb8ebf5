#pragma once
#include <atomic>

namespace sansock {

/// A word that is written under a lock and that others look at without it: they see an old value or the new one, and what follows from it
/// is decided under the lock. Costs what a plain word costs.
template <class T>
class Relaxed {
public:
    Relaxed() = default;
    Relaxed(T value) : word_(value) {}
    Relaxed(const Relaxed &) = delete;
    Relaxed &operator=(T value) {
        word_.store(value, std::memory_order_relaxed);
        return *this;
    }
    Relaxed &operator=(const Relaxed &) = delete;
    operator T() const { return word_.load(std::memory_order_relaxed); }

private:
    std::atomic<T> word_;
};

}  // namespace sansock
