// fork, exit, and syscall().
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/raw_call.hpp"
#include "preload/real.hpp"
#include "socket/report.hpp"

using namespace sansock::preload;
namespace socket_ = sansock::socket;

SANSOCK_EXPORT pid_t fork() {
    socket_::Process *process = socket_::Process::get();
    if (process == nullptr) return SANSOCK_REAL(fork)();
    process->before_fork();
    const pid_t child = SANSOCK_REAL(fork)();
    const int saved = errno;
    if (child == 0) {
        process->after_fork_in_child();
    } else {
        process->after_fork_in_parent(child);
    }
    errno = saved;
    return child;
}

SANSOCK_EXPORT void _exit(int status) {
    socket_::report_all();
    SANSOCK_REAL(_exit)(status);
    __builtin_unreachable();
}

SANSOCK_EXPORT void _Exit(int status) { _exit(status); }

/// Some programs make system calls by number (libuv closes that way): those on tracked descriptors go through our own functions.
SANSOCK_EXPORT long syscall(long number, ...) noexcept {
    va_list arguments;
    va_start(arguments, number);
    long words[6];
    for (long &word : words) word = va_arg(arguments, long);
    va_end(arguments);
    long result;
    if (raw_call(number, words, result)) return result;
    return answer(sansock::raw_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]));
}

namespace {

__attribute__((destructor)) void process_ends() { socket_::report_all(); }

}  // namespace
