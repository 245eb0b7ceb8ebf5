// System calls that no interposer sees and that leave errno alone: the library lives under the application's libc calls
// and must neither call itself nor disturb the application's errno.
#pragma once
#include <cstdint>
#include <type_traits>

namespace sansock {

#if defined(SANSOCK_SIMULATED_KERNEL)
/// The simulation is the kernel.
long raw_syscall6(long number, long a, long b, long c, long d, long e, long f);
#elif defined(__x86_64__)
inline long raw_syscall6(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}
#else
#error "sansock: raw system calls are written for x86-64 only"
#endif

template <class T>
long syscall_word(T value) {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<long>(value);
    } else if constexpr (std::is_null_pointer_v<T>) {
        return 0;
    } else {
        return static_cast<long>(value);
    }
}

/// Answers the kernel's result: a negative errno on failure.
template <class... Args>
inline long raw_syscall(long number, Args... args) {
    static_assert(sizeof...(Args) <= 6);
    const long words[6] = {syscall_word(args)...};
    return raw_syscall6(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

}  // namespace sansock
