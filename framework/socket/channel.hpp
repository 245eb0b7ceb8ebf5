// Sending and receiving helper messages with descriptors and credentials.
#pragma once
#include <sys/socket.h>

#include "base/unique_fd.hpp"
#include "socket/message.hpp"

namespace sansock::socket {

struct Received {
    Message message;
    UniqueFd fd;
    OwnedFds more;   ///< What a provider's offer or answer brings.
    ucred sender{};  ///< As the kernel vouches.
};

/// 0 or a negative errno; never blocks.
int send_message(int channel, const Message &message, int fd = -1, const OfferFds &more = {});
/// 0, -EAGAIN, -EPIPE when the peer is gone, -EPROTO for what is not a message: another size, no magic, more descriptors than one and an
/// offer's.
int receive_message(int channel, Received &received);
/// Who made the other end: the process that connected, or the one that began to listen. Not necessarily who writes to it now.
ucred maker_of(int channel);
/// A peer that is to wake us, or to be woken, passes an eventfd that never blocks; nothing else is written to.
bool is_wake_descriptor(int fd);

/// The abstract name on which the two holders of a connection meet. `connector` is the address of the end that connected.
struct MeetingName {
    char path[108];
    socklen_t size;
};
MeetingName meeting_name(uint64_t network_namespace, const sockaddr_in6 &connector, const sockaddr_in6 &acceptor);
/// A connected channel, or a negative errno (-ECONNREFUSED: nobody is there).
int connect_meeting(const MeetingName &name);
/// A listening socket, or a negative errno (-EADDRINUSE: somebody else was first).
int bind_meeting(const MeetingName &name);

/// The start time of a process in clock ticks since boot; 0 when it cannot be read.
uint64_t process_start_time(int pid);
/// Fills addresses as v4-mapped IPv6; false when the socket is not a connected TCP socket.
bool socket_addresses(int fd, sockaddr_in6 &local, sockaddr_in6 &remote);
uint64_t network_namespace_of(int fd);
/// Neither end has been shut down, and no reset has come.
bool is_established(int fd);
bool same_address(const sockaddr_in6 &a, const sockaddr_in6 &b);

}  // namespace sansock::socket
