// What the arenas of one provider take of a process's memory, all peers together, against `max_memory`.
//
// It lies in shared memory: a forked child that goes on with its parent's arenas charges its parent's account, and has one of its own
// for arenas that it makes itself. Charged is what has pages, so what is given back to the system is credited.
#pragma once
#include <atomic>
#include <cstdint>

namespace sansock::memory {

class Account {
public:
    /// False: it would pass the limit.
    bool charge(uint64_t bytes, uint64_t limit) {
        if (charged_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit) return true;
        credit(bytes);
        return false;
    }
    void credit(uint64_t bytes) { charged_.fetch_sub(bytes, std::memory_order_relaxed); }
    [[nodiscard]] uint64_t charged() const { return charged_.load(std::memory_order_relaxed); }

private:
    std::atomic<uint64_t> charged_;
};

}  // namespace sansock::memory
