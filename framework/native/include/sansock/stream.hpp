// Streams for programs that are written for sansock and so need no preload library. A stream is a TCP connection whose
// bytes move onto a provider (shared memory inside a host) when both of its ends can, and back when they must; what is
// sent and received is the same either way, and the other end may as well be an unmodified program, with or without
// sansock.
//
// Not for datagrams or Unix sockets, and not for descriptors that other code reads and writes: bytes that move past the
// stream are lost to it. A stream belongs to the process that opened it; in a forked child it can only be destroyed.
//
// Nothing throws. Calls are thread-safe as on sockets: one thread may read while another writes. No call raises
// SIGPIPE, and no signal handler ends a wait.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <system_error>

namespace sansock::socket {
struct Connection;
}

namespace sansock {

/// A value, or an error of the system's (std::errc) or of name resolution.
template <class T>
using Expected = std::expected<T, std::error_code>;

/// Waiting calls take the time at which they give up with std::errc::timed_out.
using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline kNoDeadline = Deadline::max();

/// Bytes by the path that carried them.
struct PathBytes {
    std::uint64_t tcp = 0;
    std::uint64_t provider = 0;
};

struct Statistics {
    bool on_provider = false;
    std::string path;    ///< The name of the provider's plugin, or "tcp".
    std::string guid;    ///< Of the provider that carries the stream or did; empty: none.
    std::string reason;  ///< Why the stream is on TCP, such as "peer-silent"; empty on a provider.
    PathBytes sent;
    PathBytes received;
    std::uint32_t upgrades = 0;
    std::uint32_t step_backs = 0;
};

class Stream {
public:
    /// Connects to the first address of `host` that answers. TCP_NODELAY is set. Name resolution heeds no deadline.
    [[nodiscard]] static Expected<Stream> connect(const std::string &host, std::uint16_t port, Deadline deadline = kNoDeadline);

    /// Not connected: every call fails with std::errc::not_connected.
    Stream() = default;
    Stream(Stream &&other) noexcept;
    Stream &operator=(Stream &&other) noexcept;
    ~Stream();

    /// Waits until something has come and reads what is there: at least one byte; 0 at the end of the stream.
    [[nodiscard]] Expected<std::size_t> read(std::span<std::byte> bytes, Deadline deadline = kNoDeadline);
    /// Writes all of `bytes`. Fewer only when the deadline passed or the connection ended meanwhile; the next call then
    /// tells which.
    [[nodiscard]] Expected<std::size_t> write(std::span<const std::byte> bytes, Deadline deadline = kNoDeadline);

    /// As read() and write(), for what is possible at once; std::errc::operation_would_block when nothing is.
    [[nodiscard]] Expected<std::size_t> try_read(std::span<std::byte> bytes);
    [[nodiscard]] Expected<std::size_t> try_write(std::span<const std::byte> bytes);

    /// Waits for any of `events` of poll(2): POLLIN, POLLOUT. Answers those and POLLERR, POLLHUP, as poll(2) does. For
    /// many streams in one thread there is Poller.
    [[nodiscard]] Expected<short> wait(short events, Deadline deadline = kNoDeadline);

    /// Ends the own direction: the peer reads 0 after the last byte. The other direction goes on.
    [[nodiscard]] Expected<void> shutdown_write();
    /// Ends both directions and wakes whoever waits in this stream: how another thread tells it to stop.
    [[nodiscard]] Expected<void> shutdown();
    /// What was written still reaches the peer; input that was not read makes it a reset, as on sockets.
    void close();

    [[nodiscard]] Statistics statistics() const;
    /// Names the stream to Poller, and to system calls that do not move bytes (getpeername, TCP options). -1: not
    /// connected.
    [[nodiscard]] int descriptor() const { return fd_; }

private:
    friend class Listener;
    Stream(int fd, socket::Connection *connection);
    [[nodiscard]] bool is_ours() const;

    int fd_ = -1;
    socket::Connection *connection_ = nullptr;  ///< nullptr: it cannot be tracked, the kernel has it for good.
    std::uint32_t generation_ = 0;
};

/// Accepts streams on a TCP port.
class Listener {
public:
    /// Port 0 lets the kernel choose.
    [[nodiscard]] static Expected<Listener> open(const std::string &host, std::uint16_t port);

    Listener() = default;
    Listener(Listener &&other) noexcept;
    Listener &operator=(Listener &&other) noexcept;
    ~Listener();

    /// The next stream; TCP_NODELAY is set.
    [[nodiscard]] Expected<Stream> accept(Deadline deadline = kNoDeadline);
    /// std::errc::operation_would_block when nobody waits to be accepted.
    [[nodiscard]] Expected<Stream> try_accept();

    [[nodiscard]] std::uint16_t port() const;
    /// Readable for poll(2), epoll and Poller while somebody waits to be accepted.
    [[nodiscard]] int descriptor() const { return fd_; }

private:
    explicit Listener(int fd) : fd_(fd) {}

    int fd_ = -1;
};

}  // namespace sansock
