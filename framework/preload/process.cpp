// fork, clone, exit, and syscall().
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/guarded_copy.hpp"
#include "preload/raw_call.hpp"
#include "preload/real.hpp"
#include "preload/step_back.hpp"
#include "socket/helper.hpp"
#include "socket/io.hpp"
#include "socket/report.hpp"
#include "socket/waiting.hpp"

extern "C" int __cxa_atexit(void (*destroy)(void *), void *object, void *library) noexcept;

using namespace sansock::preload;
namespace socket_ = sansock::socket;

namespace {

/// Children are born into another namespace of process numbers.
std::atomic<bool> children_are_strangers{false};

/// Such a child and we could not tell whether the other lives, who holds a lock or a connection: everything is left to the kernel.
void stranger_comes(socket_::Process &process) {
    everything_leaves(sansock::stream::Reason::kSharedFd);
    process.crowd_all();
}

/// One process becomes two with a memory each: both go on with the same connections.
template <class Fork>
pid_t both_go_on(Fork fork) {
    socket_::Process *process = socket_::Process::get();
    if (process == nullptr) return fork();
    if (children_are_strangers.load(std::memory_order_relaxed)) stranger_comes(*process);
    process->before_fork();
    const pid_t child = fork();
    const int saved = errno;
    if (child == 0) {
        process->after_fork_in_child();
    } else {
        process->after_fork_in_parent(child);
    }
    errno = saved;
    return child;
}

struct Beginning {
    int (*function)(void *);
    void *argument;
};

/// Where a child of clone() begins that has a copy of our memory.
int begin(void *memory) {
    const auto own = *static_cast<Beginning *>(memory);
    socket_::Process::get()->after_fork_in_child();
    socket_::Process::get()->forbid_helper();  // when its function returns its one thread ends, and with that the process shall
    return own.function(own.argument);
}

/// The process ends, and the kernel closes what is still open. A vfork child's end is nobody else's.
void leave() {
    socket_::Process *process = socket_::Process::get();
    if (process == nullptr || in_vfork_child()) return;
    socket_::report_all();
    socket_::leave_far(*process, true);
    socket_::leave_lent(*process);
    process->leave_all();
}

}  // namespace

SANSOCK_EXPORT pid_t fork() {
    return both_go_on([] { return SANSOCK_REAL(fork)(); });
}
SANSOCK_ALIAS(__fork, fork);

SANSOCK_EXPORT pid_t _Fork() {
    return both_go_on([] { return SANSOCK_REAL(_Fork)(); });
}

SANSOCK_EXPORT int clone(int (*function)(void *), void *stack, int flags, void *argument, ...) noexcept {
    va_list rest;
    va_start(rest, argument);
    auto *parent_id = va_arg(rest, pid_t *);
    void *storage = va_arg(rest, void *);
    auto *child_id = va_arg(rest, pid_t *);
    va_end(rest);
    const auto real = [&](int (*first)(void *), void *memory) {
        return SANSOCK_REAL(clone)(first, stack, flags, memory, parent_id, storage, child_id);
    };
    const bool same_memory = (flags & CLONE_VM) != 0, same_descriptors = (flags & CLONE_FILES) != 0;
    socket_::Process *process = socket_::Process::get();
    if (process == nullptr || function == nullptr || (same_memory && same_descriptors)) return real(function, argument);
    if ((flags & CLONE_NEWPID) != 0) stranger_comes(*process);
    if (!same_memory && !same_descriptors) {
        Beginning beginning{function, argument};
        return both_go_on([&] { return real(begin, &beginning); });
    }
    if (same_memory && (flags & CLONE_VFORK) != 0 && (flags & CLONE_SETTLS) == 0) {
        image_spawns();
        ++sansock_vfork_depth;
        const int child = real(function, argument);
        --sansock_vfork_depth;
        image_spawned();
        return child;
    }
    // Two processes with one set of books between them, but not of what the books are about.
    everything_leaves(sansock::stream::Reason::kUnmodelled);
    return real(function, argument);
}
SANSOCK_ALIAS(__clone, clone);

SANSOCK_EXPORT int unshare(int flags) noexcept {
    const int rc = SANSOCK_REAL(unshare)(flags);
    if (rc == 0 && (flags & CLONE_NEWPID) != 0) children_are_strangers.store(true);
    if (rc == 0 && (flags & CLONE_FILES) != 0) everything_leaves(sansock::stream::Reason::kUnmodelled);
    return rc;
}

SANSOCK_EXPORT int setns(int fd, int type) noexcept {
    const int rc = SANSOCK_REAL(setns)(fd, type);
    // By the descriptor of a process, or with no type named, it may have been any namespace.
    if (rc == 0 && (type == 0 || (type & CLONE_NEWPID) != 0)) children_are_strangers.store(true);
    return rc;
}

/// What threads of ours make, the configuration's parser and plugins, they use until the process's last instruction: exit()
/// must not destroy it beneath their feet.
SANSOCK_EXPORT int __cxa_atexit(void (*destroy)(void *), void *object, void *library) noexcept {
    if (socket_::Helper::has_this_thread()) return 0;
    return SANSOCK_REAL(__cxa_atexit)(destroy, object, library);
}

SANSOCK_EXPORT void _exit(int status) {
    leave();
    SANSOCK_REAL(_exit)(status);
    __builtin_unreachable();
}

SANSOCK_EXPORT void _Exit(int status) { _exit(status); }

/// Some programs make system calls by number (libuv closes that way): those on tracked descriptors go through our own functions. How many
/// words there are nobody says; like libc's, this reads six.
SANSOCK_EXPORT __attribute__((no_sanitize_address)) long syscall(long number, ...) noexcept {
    va_list arguments;
    va_start(arguments, number);
    long words[6];
    for (long &word : words) word = va_arg(arguments, long);
    va_end(arguments);
    uint64_t flags = number == SYS_clone ? static_cast<uint64_t>(words[0]) : 0;
    if (number == SYS_clone3 && !sansock::guarded_copy(&flags, reinterpret_cast<void *>(words[0]), sizeof flags)) flags = CLONE_VM;
    const bool is_clone = number == SYS_clone || number == SYS_clone3;
    socket_::Process *process = socket_::Process::get();
    if (is_clone && (flags & CLONE_NEWPID) != 0 && process != nullptr) stranger_comes(*process);
    if (number == SYS_fork || (is_clone && (flags & (CLONE_VM | CLONE_FILES)) == 0)) {
        return both_go_on(
            [&] { return static_cast<pid_t>(answer(sansock::raw_syscall(number, words[0], words[1], words[2], words[3], words[4]))); });
    }
    long result;
    if (raw_call(number, words, result)) return result;
    return answer(sansock::raw_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]));
}

namespace {

__attribute__((destructor)) void process_ends() { leave(); }

}  // namespace
