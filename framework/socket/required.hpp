// Routes that say `require`: a connection of theirs moves before its first byte, or fails.
//
// Whether a connection is such a one only the helper can tell, from the configuration. So where any route says it, every connection is
// held back from its first call on until the helper has looked: blocking calls wait, others answer EAGAIN.
#pragma once
#include "socket/connection.hpp"

namespace sansock::socket {

/// Some route may say `require`.
bool may_require();
/// An established connection is new: its meeting begins at once where it may be required.
void expect_upgrade(Connection &connection);

/// Its calls must not reach the kernel yet.
inline bool is_held_back(const Connection &connection) {
    return __builtin_expect(connection.shared->requirement.load(std::memory_order_relaxed) != Requirement::kNone, 0) &&
           connection.shared->stream.attached.load(std::memory_order_acquire) == 0 && connection.phase() != Phase::kTcpOnly;
}
/// Waits until a connection that is held back no longer is. 0; -EAGAIN when the caller does not wait; -EINTR.
long await_upgrade(Connection &connection, bool wait);
/// The helper knows: its route does not require it after all.
void let_go(Connection &connection);
/// It cannot be had: both ends read a reset. Under its fd_lock.
void fail_required(Connection &connection);
/// Whoever waits in await_upgrade() looks again.
void wake_held_back(Connection &connection);

}  // namespace sansock::socket
