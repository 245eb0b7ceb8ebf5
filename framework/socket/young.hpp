// Connections that have not moved enough to be worth a place.
//
// One that ends after a request or two never leaves TCP, and whatever is done for it is lost: it must cost next to nothing. So all that
// is kept of a connection at first is one cache line by its descriptor: what has moved, and the one epoll registration that most have. It
// grows up, that is gets a Connection with what is known of it, once it has moved enough to be a candidate, or when anything happens to
// it that this line has no room for: Process::connection() sees to that, so that whoever asks for a Connection gets one.
#pragma once
#include <sys/epoll.h>

#include "socket/process.hpp"

namespace sansock::socket {

struct alignas(64) Young {
    ProcessLock lock;
    uint32_t serial;      ///< Counts what the number has stood for, so that a call that was under way over a close is recognised.
    uint32_t grown;       ///< Index + 1 of the Connection that it has become while calls were under way; 0: none.
    uint32_t generation;  ///< Of that one.
    Role role;
    uint8_t inside_in, inside_out;  ///< Threads in the kernel's read and write path.
    uint32_t calls;
    uint32_t events;   ///< As registered with `epoll`, which is nullptr where it is registered nowhere.
    uint64_t in, out;  ///< Bytes.
    uint64_t data;
    Epoll *epoll;
};
static_assert(sizeof(Young) == 64);

inline Young &Process::young(int fd) { return young_of_fd_[fd]; }

inline constexpr uint32_t kYoungMax = 65536;  ///< Descriptors from here on are never young ones'.

/// A new TCP socket, or with Role::kAccept a connection. False: it must have a Connection from the start.
bool begin_young(int fd, Role role);
/// connect() has begun or is through. False: `fd` is no young one.
bool connect_young(int fd);
/// Before close(), of whatever `fd` is. One that a report has a line for stays what it is, for whoever closes it to let it grow up.
void end_young(int fd);
/// All of them, before somebody else gets to have their sockets as well.
void grow_all_up(Process &process);

/// The peer wants to move a connection that has hardly moved here: it grows up. nullptr: it is not among those that were looked at.
Connection *find_young(Process &process, const sockaddr_in6 &local, const sockaddr_in6 &remote);
/// In a child of fork: those that came while the fork was made. What is done to their registrations would be done to the parent's.
void forget_young(Process &process);

/// A call into the kernel's read or write path.
class YoungCall {
public:
    YoungCall(int fd, bool sending, int flags);
    /// False: not a young one's, or for one that grows up for it.
    explicit operator bool() const { return young_ != nullptr; }
    /// It has moved so many bytes; negative: it failed.
    void done(long moved);

private:
    Young *young_ = nullptr;
    const int fd_, flags_;
    uint32_t serial_ = 0;
    const bool sending_;
};

/// epoll_ctl(), where nothing but the kernel needs to know of it. False: the connection, if it is one, is to grow up first.
bool control_young(Epoll &epoll, int operation, int fd, epoll_event *event, long &result);

}  // namespace sansock::socket
