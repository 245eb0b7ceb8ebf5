#include "socket.hpp"

#include <sansock/sdk/status.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <sansock/sdk/cpp/unique_fd.hpp>

namespace sansock::portable {
namespace {

long transfer(long number, int fd, std::span<const iovec> parts, int flags) noexcept {
    msghdr message{};
    message.msg_iov = const_cast<iovec *>(parts.data());
    message.msg_iovlen = parts.size();
    for (;;) {
        const long moved = kernel(number, fd, &message, flags);
        if (moved >= 0 || errno != EINTR) return moved;
    }
}

}  // namespace

Socket::Socket(long fd) noexcept : fd_(static_cast<int>(fd)) {
    if (fd_ < 0) return;
    try {
        const int low = std::exchange(fd_, sdk::UniqueFd::duplicate(fd_, "").release());
        kernel(SYS_close, low);
    } catch (...) {  // No second number is to be had: it stays where it is.
    }
}

Socket::~Socket() {
    if (fd_ >= 0) kernel(SYS_close, fd_);
}

void Socket::shut(bool sending_only) const noexcept {
    if (fd_ >= 0) kernel(SYS_shutdown, fd_, sending_only ? SHUT_WR : SHUT_RDWR);
}

void Socket::set(int level, int option, int value) const noexcept {
    // What the kernel does not know it does without: no option that is set here is needed for correctness.
    kernel(SYS_setsockopt, fd_, level, option, &value, sizeof value);
}

long Socket::send(std::span<const iovec> parts) const noexcept { return transfer(SYS_sendmsg, fd_, parts, MSG_DONTWAIT | MSG_NOSIGNAL); }

long Socket::receive(std::span<const iovec> parts) const noexcept { return transfer(SYS_recvmsg, fd_, parts, MSG_DONTWAIT); }

long Socket::send(const void *bytes, std::size_t count) const noexcept {
    const iovec part{const_cast<void *>(bytes), count};
    return send(std::span(&part, 1));
}

long Socket::receive(void *bytes, std::size_t count) const noexcept {
    const iovec part{bytes, count};
    return receive(std::span(&part, 1));
}

std::int32_t status_of(int code) noexcept {
    switch (code) {
        case 0:
        case EPIPE:
        case ECONNREFUSED:
        case ECONNRESET: return SANSOCK_ECONNRESET;
        case ETIMEDOUT: return SANSOCK_ETIMEDOUT;
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM: return SANSOCK_ENOMEM;
        case EACCES:
        case EPERM: return SANSOCK_EPERM;
        default: return SANSOCK_EIO;
    }
}

}  // namespace sansock::portable
