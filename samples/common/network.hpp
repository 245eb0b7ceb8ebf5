// What the samples need of a network. Two libraries implement it, and a sample that needs no more is built with each:
// once on plain POSIX sockets, which know nothing of sansock (posix_network.cpp), once on sansock's own API
// (native_network.cpp). Failures are exceptions with a sentence for the person at the terminal.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace samples {

class Connection {
public:
    Connection() = default;
    Connection(const Connection &) = delete;
    Connection &operator=(const Connection &) = delete;
    virtual ~Connection() = default;

    /// Sends all of it; throws when the peer is gone (never SIGPIPE).
    virtual void send_all(std::span<const std::byte> bytes) = 0;
    /// Waits until something has come: at least one byte; 0 at the end of the stream.
    virtual std::size_t receive(std::span<std::byte> bytes) = 0;

    /// What is possible at once; nothing when it would have to wait.
    virtual std::optional<std::size_t> try_send(std::span<const std::byte> bytes) = 0;
    virtual std::optional<std::size_t> try_receive(std::span<std::byte> bytes) = 0;

    struct Ready {
        bool to_send;
        bool to_receive;  ///< Also when the stream has ended.
    };
    /// Waits until receive() would not, or, where `or_send`, until send would not.
    virtual Ready wait(bool or_send) = 0;

    /// Ends the stream both ways and wakes the thread that waits in it; any thread.
    virtual void stop() = 0;
};

class Listener {
public:
    Listener() = default;
    Listener(const Listener &) = delete;
    Listener &operator=(const Listener &) = delete;
    virtual ~Listener() = default;

    /// Nothing when the caller that made the descriptor readable has gone again.
    virtual std::unique_ptr<Connection> accept() = 0;
    [[nodiscard]] virtual std::uint16_t port() const = 0;
    /// Readable while somebody waits to be accepted.
    [[nodiscard]] virtual int descriptor() const = 0;
};

std::unique_ptr<Connection> connect_to(const std::string &host, std::uint16_t port);
/// Port 0 lets the kernel choose.
std::unique_ptr<Listener> listen_on(const std::string &host, std::uint16_t port);

/// Fills `bytes`. False when the stream ended before the first of them; an end in the middle throws.
bool receive_or_end(Connection &connection, std::span<std::byte> bytes);
/// Fills `bytes`, where an end of the stream is an error too.
void receive_all(Connection &connection, std::span<std::byte> bytes);

}  // namespace samples
