// The functions that we stand in front of.
#pragma once
#include <dlfcn.h>

#include <cerrno>

#include "socket/process.hpp"

/// The next definition of a libc function, looked up once.
#define SANSOCK_REAL(name)                                                                              \
    ([]() -> decltype(&::name) {                                                                        \
        static std::atomic<void *> cached{nullptr};                                                     \
        void *found = cached.load(std::memory_order_relaxed);                                           \
        if (__builtin_expect(found == nullptr, 0)) {                                                    \
            found = dlsym(RTLD_NEXT, #name);                                                            \
            cached.store(found, std::memory_order_relaxed);                                             \
        }                                                                                               \
        return reinterpret_cast<decltype(&::name)>(found);                                              \
    }())

#define SANSOCK_EXPORT extern "C" __attribute__((visibility("default")))

namespace sansock::preload {

/// A kernel-style result as libc gives it.
inline long answer(long result) {
    if (result >= 0) return result;
    errno = static_cast<int>(-result);
    return -1;
}

/// libc's result as the kernel gives it.
inline long kernel_style(long result) { return result < 0 ? -errno : result; }

inline socket::Connection *connection_of(int fd) {
    const socket::Process *process = socket::Process::get();
    return process == nullptr ? nullptr : process->connection(fd);
}

inline socket::Epoll *epoll_of(int fd) {
    const socket::Process *process = socket::Process::get();
    return process == nullptr ? nullptr : process->epoll(fd);
}

/// Forks this process's view of the world must follow: a vfork child borrows the parent's memory and must not touch it.
inline bool in_vfork_child() {
    const socket::Process *process = socket::Process::get();
    return process != nullptr && raw_syscall(SYS_getpid) != process->pid();
}

}  // namespace sansock::preload
