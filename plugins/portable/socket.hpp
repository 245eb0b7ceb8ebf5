// Sockets made by system calls of our own: the connections of this provider are not to be moved onto any.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "common/kernel.hpp"

struct iovec;

namespace sansock::portable {

using plugins::kernel;

/// A socket that does not block and is closed on exec.
class Socket {
public:
    Socket() = default;
    /// Takes over what a system call returned, and moves it out of the application's way where that is possible.
    explicit Socket(long fd) noexcept;
    Socket(Socket &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Socket &operator=(Socket &&other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Socket();

    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

    /// Ends both directions, or with `sending_only` the one, whoever else holds the socket: a child of fork may.
    void shut(bool sending_only = false) const noexcept;
    void set(int level, int option, int value) const noexcept;

    /// Bytes moved, 0 at the end of a stream, -1 and errno. Neither blocks nor raises a signal; interruptions are not seen.
    [[nodiscard]] long send(std::span<const iovec> parts) const noexcept;
    [[nodiscard]] long receive(std::span<const iovec> parts) const noexcept;
    [[nodiscard]] long send(const void *bytes, std::size_t count) const noexcept;
    [[nodiscard]] long receive(void *bytes, std::size_t count) const noexcept;

private:
    int fd_ = -1;
};

/// SANSOCK_* for what a socket has ended with; 0 stands for the end of the stream.
[[nodiscard]] std::int32_t status_of(int code) noexcept;

}  // namespace sansock::portable
