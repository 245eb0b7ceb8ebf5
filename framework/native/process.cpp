#include <poll.h>
#include <pthread.h>

#include "native/support.hpp"
#include "socket/poll.hpp"
#include "socket/report.hpp"

namespace sansock::native {
namespace {

/// A child has its parent's descriptors but no part in its streams; what it opens itself works.
void in_forked_child() {
    socket::Process *process = socket::Process::get();
    if (process == nullptr) return;
    process->disown_descriptors();
    process->after_fork_in_child();
}

__attribute__((destructor)) void process_ends() { socket::report_all(); }

}  // namespace

socket::Process *process() {
    static const int registered = pthread_atfork(nullptr, nullptr, in_forked_child);
    return registered == 0 ? socket::Process::get_or_create() : nullptr;
}

long poll_one(int fd, short events, Deadline deadline) {
    pollfd wanted{fd, events, 0};
    for (;;) {
        const int rc = socket::poll_any(&wanted, 1, ns_until(deadline), nullptr);
        if (rc == -EINTR) continue;
        if (rc < 0) return rc;
        return rc == 0 ? -ETIMEDOUT : wanted.revents;
    }
}

}  // namespace sansock::native
