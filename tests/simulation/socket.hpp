// What the socket layer does around a stream, as framework/socket does it: blocking calls, waiting, poll, close.
#pragma once
#include "world.hpp"

namespace sansock::simulation {

class Socket {
public:
    /// `waker` is the calling thread's wake object.
    Socket(Process &process, uint16_t waker) : p_(process), waker_(waker) {}

    /// A blocking send() or recv(), or with `wait` false a non-blocking one.
    long send(const uint8_t *data, size_t size, bool wait);
    long receive(uint8_t *data, size_t size, int flags, bool wait);
    /// Blocks until one of `wanted` (or POLLERR, POLLHUP) is there.
    short poll(short wanted);
    long shutdown_write();
    void close(bool abort);
    /// The process ends, of two hosts: the connection is open still, or lingers.
    void exit();
    /// exec and its like: 0 once the kernel has the whole stream, -ECONNRESET when the peer does not answer in time.
    long return_to_kernel(stream::Reason reason);

private:
    void get_ready();
    void carry();
    void retire_if_at_rest();
    int wait_for(bool sending, uint64_t ahead);
    int wait_on_tcp(bool sending);
    void add_waker();
    void park();
    void unpark();
    /// ppoll() of the TCP socket (events 0: leave it out) and the wake object.
    short poll_kernel(short events, uint64_t until_ns);
    long kernel_send(const uint8_t *data, size_t size, bool wait);
    long kernel_receive(uint8_t *data, size_t size, int flags, bool wait);

    Process &p_;
    uint16_t waker_;
    bool rung_ = false;  ///< poll_kernel() ended because the wake object was rung.
};

/// The helper's part in a close: the peer has read all, or is gone.
void finish_lingering(Process &process);
void let_go_of_memory(Process &process);

}  // namespace sansock::simulation
