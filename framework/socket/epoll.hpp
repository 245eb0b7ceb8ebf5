// epoll over both worlds. The kernel's epoll instance stays: it watches everything that is the kernel's. Connections
// on a provider are watched in user space: a peer's activity log names those that moved, a ready queue holds those that may have events.
#pragma once
#include <signal.h>

#include "socket/process.hpp"

namespace sansock::socket {

/// epoll_ctl on a descriptor that is a tracked connection. 0 or a negative errno.
int epoll_control(Epoll &epoll, int operation, int fd, Connection &connection, epoll_event *event);
/// epoll_wait, epoll_pwait and epoll_pwait2. A count or a negative errno.
int epoll_wait_both(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask);
/// The last descriptor of `connection` in this process is closed: its registrations go, as they do in the kernel.
void forget_items(Connection &connection);
/// Tells the kernel what it must watch of `connection` from now on.
void sync_items(Connection &connection);
/// Whether `fd` is the number under which a connection is registered somewhere.
bool has_items(Connection &connection, int fd);
/// That number is another socket's from now on: the kernel keeps such registrations as they are, as long as the connection lasts.
void leave_items(Connection &connection, int fd);
/// The socket of `connection` is the kernel's again, and not connected: so are its registrations.
void restart_items(Connection &connection);
/// The application has let go of a descriptor of the epoll instance itself; with the last one the instance ends.
void close_epoll(int fd, Epoll &epoll);

/// Puts an item, or all items of a connection, into the ready queues; any thread.
void queue_item(EpollItem &item);
/// The same for one that somebody may have given back meanwhile: unless its name is still the same.
void queue_item(Epoll &epoll, EpollItem &item, uint32_t name);
void queue_items(Connection &connection);
/// Makes an epoll instance wake up for the provider side of this item. False: no wake object to be had.
bool cover(EpollItem &item);

// --- epoll_sets.cpp: instances that are watched themselves ---
/// epoll_ctl on a descriptor that is an epoll instance. 0 or a negative errno.
int nest(Epoll &epoll, int operation, int fd, Epoll &inner, epoll_event *event);
/// Whether a wait would find something now. The kernel's instance then says the same, and whoever sleeps on it is woken by what comes.
bool readable(Epoll &epoll);
/// readable() for every instance that is watched. True: one of them must be looked at again soon, since it waits for room.
bool refresh_sets(Process &process);
/// The instance is closed: registrations of it and in it go.
void forget_sets(Epoll &epoll);

}  // namespace sansock::socket
