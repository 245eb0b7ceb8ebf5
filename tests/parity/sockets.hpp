#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "outcome.hpp"

namespace sansock::parity {

/// The socket calls that both ends need outside of what a case examines. They end the process with a message where
/// the system refuses, since nothing that follows could mean anything.

[[noreturn]] void die(const char *what);

/// `value` where it is not negative, else the end of the process.
int must(const char *what, long value);

/// The loopback address of `family` with `port`, in the form that bind and connect take.
struct Address {
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    static Address loopback(int family, int port);
    [[nodiscard]] const sockaddr *get() const { return reinterpret_cast<const sockaddr *>(&storage); }
    [[nodiscard]] sockaddr *get() { return reinterpret_cast<sockaddr *>(&storage); }
    [[nodiscard]] int port() const;
};

int new_socket(int family);
int listening_socket(int family);
int local_port(int fd);
int connected_to(int family, int port);

void send_all(int fd, const void *data, std::size_t count);

/// Up to `count` bytes: fewer only when the stream ends or fails before.
Outcome receive_up_to(int fd, std::size_t count);

/// Everything up to the end of the stream; `error` says how it ended, 0 for a clean end.
Outcome receive_to_end(int fd);

/// Sends or receives `count` bytes of Pattern(seed). The result is the number of bytes moved, -2 for a wrong byte.
Outcome send_pattern(int fd, std::size_t count, std::uint64_t seed);
Outcome receive_pattern(int fd, std::size_t count, std::uint64_t seed);

/// Both at once, in two threads; the result is that of the receiver, or of the sender where that failed.
Outcome exchange_patterns(int fd, std::size_t count, std::uint64_t seed_out, std::uint64_t seed_in);

}  // namespace sansock::parity
