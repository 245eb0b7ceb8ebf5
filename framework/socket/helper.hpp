// The helper thread: meets peers, watches for their death, and does for the stream what the application does not.
#pragma once
#include "socket/process.hpp"

namespace sansock::socket {

class Helper {
public:
    static bool start(Process &process);
    /// The calling thread is the helper.
    static bool is_this_thread();
    /// The calling thread is none of the application's: the helper, or one that a plugin has begun on it.
    static bool has_this_thread();
    static void adopt_this_thread();
    /// Right after fork in the child: the thread and its descriptors are the parent's.
    static void forget_after_fork(Process &process);
    /// Registers one of our wake objects with a peer; any thread. False: the peer will never know it.
    static bool tell_wake_object(Peer &peer, uint16_t id, int fd);
    /// Our end of a connection is closed: the peer may reuse its slot; any thread.
    static void tell_released(Connection &connection);
    /// The same once more for all that the channel did not take; the helper alone. False: it still does not take them.
    static bool tell_releases_again(Peer &peer);
};

}  // namespace sansock::socket
