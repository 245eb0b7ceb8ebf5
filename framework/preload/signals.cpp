// Each handler that the application installs is kept here, and the kernel knows one of ours in its place. Where that finds the thread in
// a section that must not be entered twice (base/critical.hpp), it sends the signal to the thread once more, blocked; the end of the
// section unblocks it. The application never sees any of it: what it asks for it is told as it said it.
#include "preload/signals.hpp"

#include <ucontext.h>

#include "base/critical.hpp"
#include "preload/real.hpp"

namespace sansock::preload {
namespace {

constexpr int kSignals = 65;

ProcessLock actions_lock;
struct sigaction actions[kSignals];  // of the application; a handler of SIG_DFL where the kernel knows none of ours
thread_local uint64_t held_back __attribute__((tls_model("initial-exec"))) = 0;  // the kernel's mask of those that wait

constexpr uint64_t bit_of(int number) { return uint64_t{1} << (number - 1); }

void let_in() {
    const uint64_t mask = held_back;
    held_back = 0;
    after_critical = nullptr;
    raw_syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, nullptr, sizeof mask);
}

void hold_back(int number, siginfo_t *info, void *context) {
    const uint64_t mask = bit_of(number);
    raw_syscall(SYS_rt_sigprocmask, SIG_BLOCK, &mask, nullptr, sizeof mask);
    raw_syscall(SYS_rt_tgsigqueueinfo, raw_syscall(SYS_getpid), thread_id(), number, info);
    sigaddset(&static_cast<ucontext_t *>(context)->uc_sigmask, number);  // stays so after we return
    held_back |= mask;
    after_critical = let_in;
}

void on_signal(int number, siginfo_t *info, void *context) {
    if (critical_depth != 0) return hold_back(number, info, context);
    const struct sigaction action = actions[number];
    if ((action.sa_flags & SA_RESETHAND) != 0) {
        actions[number] = {};
        struct sigaction usual {};
        SANSOCK_REAL(sigaction)(number, &usual, nullptr);
    }
    if (action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) return;  // changed a moment ago
    if ((action.sa_flags & SA_RESTART) == 0) interrupted = true;
    if ((action.sa_flags & SA_SIGINFO) != 0) {
        action.sa_sigaction(number, info, context);
    } else {
        action.sa_handler(number);
    }
}

/// Those of faults.hpp, before it has put its own handler in front of the application's, are the kernel's business alone; and a vfork child
/// must leave its parent's book alone.
bool is_left_alone(int number) { return number < 1 || number >= kSignals || number == SIGSEGV || number == SIGBUS || in_vfork_child(); }

bool is_handler(const struct sigaction &action) { return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN; }

}  // namespace

int change_action(int number, const struct sigaction *action, struct sigaction *before) {
    if (is_left_alone(number)) return SANSOCK_REAL(sigaction)(number, action, before);
    stream::Guard guard(actions_lock);
    handlers_are_seen.store(true, std::memory_order_relaxed);
    const struct sigaction kept = actions[number];
    struct sigaction found {};
    int rc;
    if (action != nullptr && is_handler(*action)) {
        struct sigaction ours = *action;
        ours.sa_sigaction = on_signal;
        ours.sa_flags = (action->sa_flags | SA_SIGINFO) & ~static_cast<int>(SA_RESETHAND);
        actions[number] = *action;  // before the kernel may call us
        rc = SANSOCK_REAL(sigaction)(number, &ours, &found);
        if (rc != 0) actions[number] = kept;
    } else {
        rc = SANSOCK_REAL(sigaction)(number, action, &found);
        if (rc == 0 && action != nullptr) actions[number] = {};
    }
    if (rc == 0 && before != nullptr) *before = found.sa_sigaction == on_signal ? kept : found;
    return rc;
}

sighandler_t change_handler(int number, sighandler_t handler) {
    if (is_left_alone(number)) return SANSOCK_REAL(signal)(number, handler);
    struct sigaction before {
    }, now{};
    if (change_action(number, nullptr, &before) != 0 || SANSOCK_REAL(signal)(number, handler) == SIG_ERR) return SIG_ERR;
    SANSOCK_REAL(sigaction)(number, nullptr, &now);  // with the flags that siginterrupt() has asked for
    return change_action(number, &now, nullptr) == 0 ? before.sa_handler : SIG_ERR;
}

}  // namespace sansock::preload

using namespace sansock::preload;

SANSOCK_EXPORT int siginterrupt(int number, int on) noexcept {
    const int rc = SANSOCK_REAL(siginterrupt)(number, on);  // for the kernel, and for signal() later
    struct sigaction now {};
    if (rc != 0 || in_vfork_child() || sigaction(number, nullptr, &now) != 0 || !is_handler(now)) return rc;
    now.sa_flags = on != 0 ? now.sa_flags & ~SA_RESTART : now.sa_flags | SA_RESTART;
    return sigaction(number, &now, nullptr);
}
