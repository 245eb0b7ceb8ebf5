// poll and select over both worlds.
#pragma once
#include <poll.h>
#include <signal.h>

#include <cstdint>

namespace sansock::socket {

/// True when `fds` holds a connection that the stream has, so that poll_both() must answer; otherwise the caller polls in the
/// kernel, between enter_kernel_poll() and leave_kernel_poll().
bool poll_needs_us(const pollfd *fds, nfds_t count);
void enter_kernel_poll(const pollfd *fds, nfds_t count);
void leave_kernel_poll(const pollfd *fds, nfds_t count);
/// A count or a negative errno.
int poll_both(pollfd *fds, nfds_t count, uint64_t timeout_ns, const sigset_t *mask);
/// poll(2) on any mix of descriptors. A count or a negative errno.
int poll_any(pollfd *fds, nfds_t count, uint64_t timeout_ns, const sigset_t *mask);

}  // namespace sansock::socket
