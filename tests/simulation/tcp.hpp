// A kernel TCP connection of one host: two bounded byte queues per direction (what the sender's kernel holds and SIOCOUTQ counts, and
// what the receiver's kernel holds), FIN, RST, and what close does. As Linux does it: tcp_test.cpp asks both the same questions.
// What differs is time: no acknowledgement is held back, and a reset overtakes all that is on its way, even on a path that has stopped.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <vector>

#include "scheduler.hpp"
#include "stream/environment.hpp"

namespace sansock::simulation {

/// A bounded queue of bytes.
class ByteQueue {
public:
    void reset(size_t capacity);
    [[nodiscard]] size_t size() const { return size_; }
    void push(const uint8_t *data, size_t size);
    /// Copies up to `size` bytes from the front, and takes them out unless it only looks.
    size_t pop(uint8_t *data, size_t size, bool peek);
    void clear() { size_ = 0; }

private:
    std::vector<uint8_t> bytes_;
    size_t front_ = 0, size_ = 0;
};

class Tcp {
public:
    void reset(size_t send_limit, size_t receive_limit);

    // --- system calls of side 0 or 1 ---
    long send(int side, const iovec *parts, int count);
    long receive(int side, const iovec *parts, int count, bool peek);
    [[nodiscard]] size_t unsent(int side) const { return sockets_[side].unsent.size() + sockets_[side].unsent_at_reset; }
    [[nodiscard]] size_t unread(int side) const { return sockets_[side].received.size(); }
    [[nodiscard]] stream::KernelCounts counts(int side) const;
    [[nodiscard]] short poll(int side) const;
    /// This side can still send.
    [[nodiscard]] bool takes_output(int side) const {
        return !sockets_[side].write_shut && !sockets_[side].reset && !sockets_[side].closed;
    }
    /// A call has met the limit of limit_send().
    [[nodiscard]] bool pressure_felt() const { return pressure_felt_; }
    [[nodiscard]] bool has_error(int side) const { return sockets_[side].error != 0; }
    long shutdown_write(int side);
    void guard(int side, bool on) { sockets_[side].guard = on; }
    [[nodiscard]] bool is_guarded(int side) const { return sockets_[side].guard; }
    /// connect(AF_UNSPEC)
    void disconnect(int side);
    /// The last descriptor goes.
    void close(int side);

    // --- the path ---
    /// Moves up to `size` bytes from this side's kernel to the peer's, or the FIN behind them. False: there was nothing to move.
    bool deliver(int side, size_t size);
    [[nodiscard]] bool can_deliver(int side) const;
    /// The kernel is short of memory: from now on it takes no more than this.
    void limit_send(int side, size_t limit);
    [[nodiscard]] bool is_pressed(int side) const { return sockets_[side].pressed; }

    /// What sleepers on a socket, and the path, wait for.
    [[nodiscard]] const void *key(int side) const { return &sockets_[side]; }
    [[nodiscard]] const void *path_key() const { return this; }
    [[nodiscard]] bool closed(int side) const { return sockets_[side].closed; }
    [[nodiscard]] bool was_reset(int side) const { return sockets_[side].reset; }

private:
    struct Socket {
        ByteQueue unsent;    ///< On the way out.
        ByteQueue received;  ///< Come in.
        uint64_t sent_total, received_total;
        size_t unsent_at_reset;  ///< SIOCOUTQ keeps the number of what a reset has cost.
        size_t send_limit, receive_limit;
        bool write_shut, fin_arrived, reset, closed, guard, pressed;
        bool fin_delivered;  ///< Our FIN has reached the peer.
        bool disconnected;
        int error;
    };
    /// Both streams have ended and the kernel has forgotten the connection: nothing can be reset any more.
    [[nodiscard]] bool is_over() const { return sockets_[0].fin_delivered && sockets_[1].fin_delivered; }
    void lose_unsent(Socket &socket);
    void get_reset(Socket &socket);
    void changed(int side);

    Socket sockets_[2];
    bool pressure_felt_ = false;
};

}  // namespace sansock::simulation
