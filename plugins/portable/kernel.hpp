// System calls of our own, and sockets made by them.
//
// A plugin runs inside programs whose calls about sockets are intercepted, so that their connections can be moved onto providers. The
// connections of this provider are not to be moved onto anything. So they are made by libc's own `syscall`, looked up in libc itself,
// where nobody stands in front of it. That is no point of cancellation either: no thread of the application is torn out of the middle of
// a provider.
#pragma once
#include <sys/syscall.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

struct iovec;

namespace sansock::portable {

namespace detail {
using SystemCall = long (*)(long number, ...);
extern const SystemCall system_call;

template <class T>
long word(T value) noexcept {
    if constexpr (std::is_pointer_v<T>) {
        return reinterpret_cast<long>(value);
    } else if constexpr (std::is_null_pointer_v<T>) {
        return 0;
    } else {
        return static_cast<long>(value);
    }
}
}  // namespace detail

/// The result as libc gives it: -1 and errno.
template <class... Args>
long kernel(long number, Args... args) noexcept {
    return detail::system_call(number, detail::word(args)...);
}

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
