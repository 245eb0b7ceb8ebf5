#include "tcp.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sansock::simulation {
namespace {

constexpr size_t kJunk = 65'538;  ///< What SIOCOUTQ of a disconnected socket counts nobody has ever written.

}  // namespace

void ByteQueue::reset(size_t capacity) {
    if (bytes_.size() < capacity) bytes_.resize(capacity);
    front_ = size_ = 0;
}

void ByteQueue::push(const uint8_t *data, size_t size) {
    const size_t capacity = bytes_.size();
    const size_t at = (front_ + size_) % capacity;
    const size_t first = std::min(size, capacity - at);
    std::memcpy(&bytes_[at], data, first);
    std::memcpy(bytes_.data(), data + first, size - first);
    size_ += size;
}

size_t ByteQueue::pop(uint8_t *data, size_t size, bool peek) {
    size = std::min(size, size_);
    if (size == 0) return 0;
    const size_t first = std::min(size, bytes_.size() - front_);
    std::memcpy(data, &bytes_[front_], first);
    std::memcpy(data + first, bytes_.data(), size - first);
    if (!peek) {
        front_ = (front_ + size) % bytes_.size();
        size_ -= size;
    }
    return size;
}

void Tcp::reset(size_t send_limit, size_t receive_limit) {
    pressure_felt_ = false;
    for (Socket &socket : sockets_) {
        socket.unsent.reset(send_limit);
        socket.received.reset(receive_limit);
        socket.sent_total = socket.received_total = socket.unsent_at_reset = 0;
        socket.send_limit = send_limit;
        socket.receive_limit = receive_limit;
        socket.write_shut = socket.fin_arrived = socket.fin_delivered = socket.reset = socket.closed = socket.guard = socket.pressed =
            socket.disconnected = false;
        socket.error = 0;
    }
}

void Tcp::changed(int side) {
    Scheduler::get().wake(key(side));
    Scheduler::get().wake(path_key());
}

long Tcp::send(int side, const iovec *parts, int count) {
    Socket &socket = sockets_[side];
    if (socket.error != 0) return -std::exchange(socket.error, 0);
    if (socket.write_shut || socket.reset || socket.closed) return -EPIPE;
    size_t room = socket.send_limit > socket.unsent.size() ? socket.send_limit - socket.unsent.size() : 0;
    long sent = 0;
    for (int i = 0; i < count && room > 0; ++i) {
        const size_t size = std::min(parts[i].iov_len, room);
        pressure_felt_ = pressure_felt_ || (socket.pressed && size < parts[i].iov_len);
        socket.unsent.push(static_cast<const uint8_t *>(parts[i].iov_base), size);
        room -= size;
        sent += static_cast<long>(size);
    }
    if (sent == 0) {
        pressure_felt_ = pressure_felt_ || socket.pressed;
        return -EAGAIN;
    }
    socket.sent_total += static_cast<uint64_t>(sent);
    Scheduler::get().wake(path_key());
    return sent;
}

long Tcp::receive(int side, const iovec *parts, int count, bool peek) {
    Socket &socket = sockets_[side];
    if (socket.closed) return -EBADF;
    if (socket.received.size() > 0) {
        size_t got = 0;
        for (int i = 0; i < count; ++i) {
            const size_t size = socket.received.pop(static_cast<uint8_t *>(parts[i].iov_base), parts[i].iov_len, peek);
            got += size;
            if (size < parts[i].iov_len || peek) break;
        }
        changed(1 - side);
        return static_cast<long>(got);
    }
    if (socket.fin_arrived) return 0;
    if (socket.error != 0) return -std::exchange(socket.error, 0);
    return socket.reset ? 0 : -EAGAIN;
}

stream::KernelCounts Tcp::counts(int side) const {
    const Socket &socket = sockets_[side];
    if (socket.disconnected) return {unsent(side), 0};
    return {socket.sent_total, socket.received_total};
}

short Tcp::poll(int side) const {
    const Socket &socket = sockets_[side];
    short events = 0;
    const bool ended = socket.fin_arrived || (socket.reset && !socket.disconnected);
    if (socket.received.size() > 0 || ended) events |= POLLIN | POLLRDNORM;
    if (ended) events |= POLLRDHUP;
    if (socket.unsent.size() < socket.send_limit || socket.reset || socket.write_shut) events |= POLLOUT | POLLWRNORM;
    if (socket.reset || (socket.fin_arrived && socket.write_shut)) events |= POLLHUP;
    if (socket.error != 0) events |= POLLERR;
    return events;
}

long Tcp::shutdown_write(int side) {
    Socket &socket = sockets_[side];
    if (socket.closed) return -EBADF;
    if (socket.reset || is_over()) return -ENOTCONN;
    socket.write_shut = true;
    changed(side);
    return 0;
}

void Tcp::lose_unsent(Socket &socket) {
    socket.unsent_at_reset += socket.unsent.size();
    socket.unsent.clear();
}

void Tcp::get_reset(Socket &socket) {
    if (socket.reset || socket.closed || is_over()) return;
    socket.error = socket.fin_arrived ? EPIPE : ECONNRESET;
    socket.reset = true;
    lose_unsent(socket);
    changed(static_cast<int>(&socket - sockets_));
}

void Tcp::disconnect(int side) {
    Socket &socket = sockets_[side];
    if (socket.closed) return;
    get_reset(sockets_[1 - side]);
    get_reset(socket);
    // Once disconnected it knows of no end and is not readable any more.
    if (socket.error != 0) socket.error = ECONNRESET;
    socket.received.clear();
    socket.fin_arrived = socket.write_shut = false;
    socket.disconnected = socket.reset = true;
    socket.unsent_at_reset += kJunk;
}

void Tcp::close(int side) {
    Socket &socket = sockets_[side];
    if (socket.closed) return;
    const bool aborts = socket.guard || socket.received.size() > 0;
    if (!socket.reset) {
        if (aborts) {
            lose_unsent(socket);
            get_reset(sockets_[1 - side]);
            socket.reset = true;
        } else {
            socket.write_shut = true;
        }
    }
    socket.closed = true;
    socket.received.clear();
    changed(side);
}

bool Tcp::can_deliver(int side) const {
    const Socket &from = sockets_[side], &to = sockets_[1 - side];
    if (from.reset) return false;
    if (from.unsent.size() > 0) return to.closed || to.reset || to.received.size() < to.receive_limit;
    return from.write_shut && !from.fin_delivered && !to.reset;
}

bool Tcp::deliver(int side, size_t size) {
    if (!can_deliver(side)) return false;
    Socket &from = sockets_[side], &to = sockets_[1 - side];
    if (from.unsent.size() == 0) {
        from.fin_delivered = true;
        to.fin_arrived = true;
        changed(1 - side);
        return true;
    }
    if (to.closed || to.reset) {  // nobody there to read it
        lose_unsent(from);
        get_reset(from);
        return true;
    }
    uint8_t bytes[4096];
    size = std::min({size, sizeof bytes, to.receive_limit - to.received.size()});
    size = from.unsent.pop(bytes, size, false);
    to.received.push(bytes, size);
    to.received_total += size;
    changed(0);
    changed(1);
    return true;
}

void Tcp::limit_send(int side, size_t limit) {
    sockets_[side].send_limit = limit;
    sockets_[side].pressed = true;
    changed(side);
}

}  // namespace sansock::simulation
