// The application passes pointers that may be bad, and Linux answers EFAULT. Our copies run in user space, so the fault
// arrives as a signal. The handler stands in front of the application's own: faults in our copy instructions are
// answered, all others go where they would have gone. The application never sees that the handler is there.
#include "preload/faults.hpp"

#include <signal.h>

#include <cstring>

#include "base/guarded_copy.hpp"
#include "preload/real.hpp"
#include "preload/signals.hpp"

namespace sansock::preload {
namespace {

std::atomic<bool> installed{false};
ProcessLock actions_lock;
struct sigaction actions[2];                                                 // of the application, for SIGSEGV and SIGBUS
thread_local uint8_t masked __attribute__((tls_model("initial-exec"))) = 0;  // which of the two this thread believes blocked

struct sigaction *action_of(int number) {
    if (!installed.load(std::memory_order_acquire)) return nullptr;
    return number == SIGSEGV ? &actions[0] : number == SIGBUS ? &actions[1] : nullptr;
}

void end_as_usual(int number, const siginfo_t *info) {
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    SANSOCK_REAL(sigaction)(number, &usual, nullptr);
    // A real fault happens again when the instruction is repeated; a signal that somebody sent must be sent again.
    if (info->si_code <= 0) raw_syscall(SYS_tgkill, raw_syscall(SYS_getpid), raw_syscall(SYS_gettid), number);
}

void on_fault(int number, siginfo_t *info, void *context) {
    if (info->si_code > 0 && recover_guarded_copy(context)) return;
    const int saved = errno;
    struct sigaction action;
    {
        stream::Guard guard(actions_lock);
        struct sigaction *kept = action_of(number);
        action = *kept;
        if ((kept->sa_flags & SA_RESETHAND) != 0) kept->sa_handler = SIG_DFL;
    }
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) return end_as_usual(number, info);
    sigset_t mask = action.sa_mask;
    if ((action.sa_flags & SA_NODEFER) == 0) sigaddset(&mask, number);
    SANSOCK_REAL(pthread_sigmask)(SIG_BLOCK, &mask, nullptr);
    errno = saved;
    if ((action.sa_flags & SA_SIGINFO) != 0) {
        action.sa_sigaction(number, info, context);
    } else {
        action.sa_handler(number);
    }
}

/// Blocking these two would turn a bad pointer into death: the thread believes that they are blocked, the kernel does not.
int change_mask(int how, const sigset_t *set, sigset_t *before, int (*real)(int, const sigset_t *, sigset_t *)) {
    if (!installed.load(std::memory_order_acquire)) return real(how, set, before);
    sigset_t wanted;
    uint8_t asked = 0;
    if (set != nullptr) {
        wanted = *set;
        asked = static_cast<uint8_t>((sigismember(&wanted, SIGSEGV) == 1 ? 1 : 0) | (sigismember(&wanted, SIGBUS) == 1 ? 2 : 0));
        if (how != SIG_UNBLOCK) {
            sigdelset(&wanted, SIGSEGV);
            sigdelset(&wanted, SIGBUS);
        }
    }
    const uint8_t believed = masked;
    const int rc = real(how, set == nullptr ? nullptr : &wanted, before);
    if (rc != 0) return rc;
    if (before != nullptr && (believed & 1) != 0) sigaddset(before, SIGSEGV);
    if (before != nullptr && (believed & 2) != 0) sigaddset(before, SIGBUS);
    if (set != nullptr) {
        if (how == SIG_BLOCK) masked = believed | asked;
        if (how == SIG_UNBLOCK) masked = static_cast<uint8_t>(believed & ~asked);
        if (how == SIG_SETMASK) masked = asked;
    }
    return 0;
}

}  // namespace

void install_fault_handler() {
    if (installed.load(std::memory_order_acquire)) return;
    stream::Guard guard(actions_lock);
    if (installed.load(std::memory_order_acquire)) return;
    struct sigaction ours {};
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
    SANSOCK_REAL(sigaction)(SIGSEGV, &ours, &actions[0]);
    SANSOCK_REAL(sigaction)(SIGBUS, &ours, &actions[1]);
    installed.store(true, std::memory_order_release);
}

}  // namespace sansock::preload

using namespace sansock::preload;

SANSOCK_EXPORT int sigaction(int number, const struct sigaction *action, struct sigaction *before) noexcept {
    struct sigaction *kept = action_of(number);
    if (kept == nullptr || in_vfork_child()) return change_action(number, action, before);
    sansock::stream::Guard guard(actions_lock);
    if (before != nullptr) *before = *kept;
    if (action != nullptr) *kept = *action;
    return 0;
}

SANSOCK_EXPORT sighandler_t signal(int number, sighandler_t handler) noexcept {
    struct sigaction *kept = action_of(number);
    if (kept == nullptr || in_vfork_child()) return change_handler(number, handler);
    sansock::stream::Guard guard(actions_lock);
    const sighandler_t before = kept->sa_handler;
    *kept = {};
    kept->sa_handler = handler;
    kept->sa_flags = SA_RESTART;
    return before;
}

SANSOCK_EXPORT int pthread_sigmask(int how, const sigset_t *set, sigset_t *before) noexcept {
    return change_mask(how, set, before, SANSOCK_REAL(pthread_sigmask));
}

SANSOCK_EXPORT int sigprocmask(int how, const sigset_t *set, sigset_t *before) noexcept {
    return change_mask(how, set, before, SANSOCK_REAL(sigprocmask));
}
