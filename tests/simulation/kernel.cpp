// The system calls of the code under test: locks and clocks belong to the simulation, memory to the kernel below.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/cpu.hpp"
#include "base/point.hpp"
#include "base/real.hpp"
#include "mutations.hpp"
#include "scheduler.hpp"

namespace sansock {
namespace {

long futex(const long *words) {
    auto &scheduler = simulation::Scheduler::get();
    auto *word = reinterpret_cast<const std::atomic<uint32_t> *>(words[0]);
    if (words[1] == FUTEX_WAKE) {
        return scheduler.wake(word);
    }
    if (word->load() != static_cast<uint32_t>(words[2])) return -EAGAIN;
    const auto *timeout = reinterpret_cast<const timespec *>(words[3]);
    const uint64_t until = timeout == nullptr ? simulation::kForever
                                              : scheduler.now_ns() + static_cast<uint64_t>(timeout->tv_sec) * 1'000'000'000u +
                                                    static_cast<uint64_t>(timeout->tv_nsec);
    return scheduler.sleep({word, nullptr, nullptr}, until) ? 0 : -ETIMEDOUT;
}

}  // namespace

long raw_syscall6(long number, long a, long b, long c, long d, long e, long f) {
    auto &scheduler = simulation::Scheduler::get();
    const long words[4] = {a, b, c, d};
    switch (number) {
        case SYS_futex: return futex(words);
        case SYS_gettid: return scheduler.running() == nullptr ? 1000 : scheduler.running()->thread_id;
        case SYS_tgkill: return scheduler.thread_lives(static_cast<uint32_t>(b)) ? 0 : -ESRCH;
        case SYS_tkill: return scheduler.thread_lives(static_cast<uint32_t>(a)) ? 0 : -ESRCH;
        case SYS_openat: return -ENOENT;  // /proc knows nothing of these threads
        default: break;
    }
    const long result = ::syscall(number, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}

uint64_t now_ns() { return simulation::Scheduler::get().now_ns(); }

void at_point(const char *name) { simulation::Scheduler::get().point(name); }

bool is_mutated(const char *name) { return simulation::active_mutation_is(name); }

}  // namespace sansock
