// poll and select over both worlds.
#pragma once
#include <poll.h>
#include <signal.h>

#include <cstdint>

namespace sansock::socket {

/// True when `fds` holds a connection or an epoll instance that this process knows, so that poll_any() must answer. False for a bad
/// pointer, too: the kernel says what is wrong with it.
bool poll_has_ours(const pollfd *fds, nfds_t count);
/// poll(2) on any mix of descriptors. A count or a negative errno.
int poll_any(pollfd *fds, nfds_t count, uint64_t timeout_ns, const sigset_t *mask);
/// The same where a stream, or an epoll instance that may hold one, is among them.
int poll_both(pollfd *fds, nfds_t count, uint64_t timeout_ns, const sigset_t *mask);

}  // namespace sansock::socket
