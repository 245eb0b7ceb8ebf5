// The functions that we stand in front of.
#pragma once
#include <dlfcn.h>

#include <cerrno>

#include "socket/process.hpp"

/// The next definition of a libc function, looked up once.
#define SANSOCK_REAL(name)                                    \
    ([]() -> decltype(&::name) {                              \
        static std::atomic<void *> cached{nullptr};           \
        void *found = cached.load(std::memory_order_relaxed); \
        if (__builtin_expect(found == nullptr, 0)) {          \
            found = dlsym(RTLD_NEXT, #name);                  \
            cached.store(found, std::memory_order_relaxed);   \
        }                                                     \
        return reinterpret_cast<decltype(&::name)>(found);    \
    }())

#define SANSOCK_EXPORT extern "C" __attribute__((visibility("default")))

extern "C" {
/// How many vfork() calls this thread is inside of: its child borrows the thread, and this counter with it (vfork.cpp).
extern thread_local uint32_t sansock_vfork_depth __attribute__((tls_model("initial-exec"), visibility("hidden")));
}

/// A second name of a function of this file, as libc has it.
#define SANSOCK_ALIAS(name, function) \
    extern "C" __attribute__((visibility("default"), alias(#function), copy(function))) decltype(function) name

namespace sansock::preload {

/// A kernel-style result as libc gives it.
inline long answer(long result) {
    if (result >= 0) return result;
    errno = static_cast<int>(-result);
    return -1;
}

/// A young one grows up for it.
inline socket::Connection *connection_of(int fd) {
    socket::Process *process = socket::Process::get();
    return process == nullptr ? nullptr : process->connection(fd);
}

/// For what means nothing to a young one.
inline socket::Connection *tracked_of(int fd) {
    const socket::Process *process = socket::Process::get();
    return process == nullptr ? nullptr : process->tracked(fd);
}

inline socket::Epoll *epoll_of(int fd) {
    const socket::Process *process = socket::Process::get();
    return process == nullptr ? nullptr : process->epoll(fd);
}

/// A vfork child borrows the parent's memory and must leave the books in it alone.
inline bool in_vfork_child() { return sansock_vfork_depth != 0; }

}  // namespace sansock::preload
