#include "sansock/stream.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <utility>

#include "native/support.hpp"
#include "socket/io.hpp"
#include "socket/report.hpp"

namespace sansock {
namespace {

using socket::Connection;

long receive_now(int fd, Connection *connection, std::span<std::byte> bytes) {
    const auto from_kernel = [&] { return raw_syscall(SYS_recvfrom, fd, bytes.data(), bytes.size(), MSG_DONTWAIT, nullptr, nullptr); };
    if (connection == nullptr) return from_kernel();
    if (socket::KernelCall kernel(*connection, false); kernel.allowed()) {
        const long got = from_kernel();
        kernel.done(got);
        return got;
    }
    const iovec part{bytes.data(), bytes.size()};
    return socket::receive_stream(*connection, &part, 1, MSG_DONTWAIT);
}

long send_now(int fd, Connection *connection, std::span<const std::byte> bytes) {
    constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const auto to_kernel = [&] { return raw_syscall(SYS_sendto, fd, bytes.data(), bytes.size(), kFlags, nullptr, 0); };
    if (connection == nullptr) return to_kernel();
    if (socket::KernelCall kernel(*connection, true); kernel.allowed()) {
        const long sent = to_kernel();
        kernel.done(sent);
        return sent;
    }
    const iovec part{const_cast<std::byte *>(bytes.data()), bytes.size()};
    return socket::send_stream(*connection, &part, 1, kFlags);
}

/// Until it is worth trying again: 0 or a negative errno. Where the stream may be on a provider its own wait is the
/// quick one.
long wait_to_go_on(int fd, Connection *connection, bool sending, Deadline deadline) {
    if (connection == nullptr || connection->phase() != socket::Phase::kAttached || !connection->mapped.load(std::memory_order_acquire)) {
        const long rc = native::poll_one(fd, sending ? POLLOUT : POLLIN, deadline);
        return rc < 0 ? rc : 0;
    }
    const int rc = socket::wait_for(*connection, sending, native::to_ns(deadline));
    if (rc == -EAGAIN) return -ETIMEDOUT;
    return rc == -EINTR ? 0 : rc;
}

}  // namespace

Stream::Stream(int fd, Connection *connection)
    : fd_(fd), connection_(connection), generation_(connection == nullptr ? 0u : uint32_t{connection->generation}) {}

Stream::Stream(Stream &&other) noexcept
    : fd_(std::exchange(other.fd_, -1)), connection_(std::exchange(other.connection_, nullptr)), generation_(other.generation_) {}

Stream &Stream::operator=(Stream &&other) noexcept {
    if (this != &other) {
        close();
        fd_ = std::exchange(other.fd_, -1);
        connection_ = std::exchange(other.connection_, nullptr);
        generation_ = other.generation_;
    }
    return *this;
}

Stream::~Stream() { close(); }

/// False for one that is not connected, and for a parent's in a forked child.
bool Stream::is_ours() const {
    if (fd_ < 0) return false;
    return connection_ == nullptr || (connection_->is_open() && connection_->generation == generation_);
}

Expected<std::size_t> Stream::try_read(std::span<std::byte> bytes) {
    if (!is_ours()) return native::failure(-ENOTCONN);
    if (bytes.empty()) return 0;
    const long got = receive_now(fd_, connection_, bytes);
    if (got < 0) return native::failure(got);
    return static_cast<std::size_t>(got);
}

Expected<std::size_t> Stream::try_write(std::span<const std::byte> bytes) {
    if (!is_ours()) return native::failure(-ENOTCONN);
    const long sent = send_now(fd_, connection_, bytes);
    if (sent < 0) return native::failure(sent);
    return static_cast<std::size_t>(sent);
}

Expected<std::size_t> Stream::read(std::span<std::byte> bytes, Deadline deadline) {
    if (!is_ours()) return native::failure(-ENOTCONN);
    if (bytes.empty()) return 0;
    for (;;) {
        long rc = receive_now(fd_, connection_, bytes);
        if (rc >= 0) return static_cast<std::size_t>(rc);
        if (rc == -EAGAIN) rc = wait_to_go_on(fd_, connection_, false, deadline);
        if (rc < 0) return native::failure(rc);
    }
}

Expected<std::size_t> Stream::write(std::span<const std::byte> bytes, Deadline deadline) {
    if (!is_ours()) return native::failure(-ENOTCONN);
    std::size_t done = 0;
    while (done < bytes.size()) {
        long rc = send_now(fd_, connection_, bytes.subspan(done));
        if (rc > 0) done += static_cast<std::size_t>(rc);
        if (rc == -EAGAIN) rc = wait_to_go_on(fd_, connection_, true, deadline);
        if (rc < 0 && done > 0) return done;
        if (rc < 0) return native::failure(rc);
    }
    return done;
}

Expected<short> Stream::wait(short events, Deadline deadline) {
    if (!is_ours()) return native::failure(-ENOTCONN);
    const long rc = native::poll_one(fd_, events, deadline);
    if (rc < 0) return native::failure(rc);
    return static_cast<short>(rc);
}

Expected<void> Stream::shutdown_write() {
    if (!is_ours()) return native::failure(-ENOTCONN);
    const long rc = connection_ == nullptr ? raw_syscall(SYS_shutdown, fd_, SHUT_WR) : socket::shutdown_stream(*connection_, fd_, SHUT_WR);
    if (rc < 0) return native::failure(rc);
    return {};
}

Expected<void> Stream::shutdown() {
    if (!is_ours()) return native::failure(-ENOTCONN);
    const long rc =
        connection_ == nullptr ? raw_syscall(SYS_shutdown, fd_, SHUT_RDWR) : socket::shutdown_stream(*connection_, fd_, SHUT_RDWR);
    if (rc < 0) return native::failure(rc);
    return {};
}

void Stream::close() {
    if (fd_ >= 0) {
        if (connection_ != nullptr && is_ours()) {
            socket::close_descriptor(fd_, *connection_);
        } else {
            raw_syscall(SYS_close, fd_);
        }
    }
    fd_ = -1;
    connection_ = nullptr;
}

Statistics Stream::statistics() const {
    Statistics result;
    if (!is_ours()) return result;
    result.path = "tcp";
    if (connection_ == nullptr) return result;
    const socket::Account account = socket::account_of(*connection_);
    result.on_provider = account.on_provider;
    result.path = account.path;
    result.guid = account.guid == nullptr ? "" : account.guid;
    result.reason = account.reason == nullptr ? "" : account.reason;
    result.sent = {account.sent_tcp, account.sent_provider};
    result.received = {account.received_tcp, account.received_provider};
    result.upgrades = account.upgrades;
    result.step_backs = account.step_backs;
    return result;
}

}  // namespace sansock
