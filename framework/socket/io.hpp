// Reading and writing a tracked connection. The preload library and the native API call these; results are counts or negative
// errno values.
//
// While a connection is the kernel's, a call goes to the kernel as it is, within a KernelCall, which counts it;
// once the stream has it, that is not allowed any more, and the call goes through send_stream() or receive_stream().
#pragma once
#include "socket/process.hpp"

namespace sansock::socket {

/// Hands the connection to the helper, once: it shall move.
void become_candidate(Connection &connection);

/// A call that is the kernel's as long as the connection is. Until done() the connection cannot leave TCP unnoticed.
class KernelCall {
public:
    KernelCall(Connection &connection, bool sending);
    /// One that was counted when it began.
    enum UnderWay { kUnderWay };
    KernelCall(Connection &connection, bool sending, UnderWay);
    /// The caller may ask the kernel, and must say done() then.
    [[nodiscard]] bool allowed() const { return allowed_; }
    /// `moved`: the call's result.
    void done(long moved, int flags = 0);

private:
    Connection &connection_;
    uint32_t generation_;  ///< Another thread may close the connection, and its place be given away, while the kernel lets us wait.
    bool sending_;
    bool counted_ = false;
    bool allowed_;
};

long send_stream(Connection &connection, const iovec *parts, int count, int flags);
long receive_stream(Connection &connection, const iovec *parts, int count, int flags);
/// shutdown(2) on a tracked connection.
long shutdown_stream(Connection &connection, int fd, int how);

/// The step back for what user space cannot model: afterwards both directions are the kernel's. 0, or -EAGAIN when the peer has not
/// answered in time (the connection is then reset).
long return_to_kernel(Connection &connection, stream::Reason reason);

/// Another program is about to inherit the socket: both directions go back to TCP, and leave it again once no program but ours holds it.
void lend(Connection &connection);

/// setsockopt(SO_LINGER): what the application asks for holds once the socket's own is no guard any more (Environment::tcp_guard). As the
/// kernel answers; and what it asked for, where the kernel would tell ours.
long set_linger(Connection &connection, int fd, const void *value, socklen_t size);
void show_linger(Connection &connection, void *value);

/// This process ends, or becomes another program (not `ends`: it may fail to), and what it has kept for peers on other hosts would end with
/// it: the kernel is given that, and they are told. It waits for them, for `timeouts.step` at most.
void leave_far(Process &process, bool ends);

/// A TCP socket has just been made (Role::kNone), connected or accepted. nullptr: it cannot be tracked; the kernel has it.
Connection *track(int fd, Role role);
/// Whether it has moved enough, in `calls` calls or in bytes.
bool is_worth_moving(const SharedConnection &shared, uint32_t calls);
/// A tracked socket has been connected, or is about to be.
void connected(Connection &connection);
/// A tracked socket has been disconnected, and may be connected again.
void disconnected(Connection &connection);
/// A descriptor has come from somewhere. If it is a connection that this process knows, or knew before it let go of it, it is one
/// more descriptor of that.
void adopt(int fd);

}  // namespace sansock::socket
