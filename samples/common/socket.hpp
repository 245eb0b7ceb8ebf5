// What the samples share of plain POSIX: an owned descriptor, and sockets from names.
// Failures are std::system_error or std::runtime_error with a sentence for the person at the terminal.
#pragma once
#include <cstdint>
#include <string>

namespace samples {

/// A descriptor that is closed with its owner. Moved from, it holds none (-1).
class Socket {
public:
    explicit Socket(int fd = -1) : fd_(fd) {}
    Socket(Socket &&other) noexcept;
    Socket &operator=(Socket &&other) noexcept;
    ~Socket();
    [[nodiscard]] int fd() const { return fd_; }

private:
    int fd_;
};

/// Throws what errno says about `what`.
[[noreturn]] void throw_errno(const std::string &what);

/// Port 0 lets the kernel choose; local_port() says what it chose.
Socket listen_socket(const std::string &host, std::uint16_t port);
Socket connect_socket(const std::string &host, std::uint16_t port);
std::uint16_t local_port(const Socket &socket);

/// The samples write whole messages, so holding one back until more can go with it would only add latency.
void send_without_delay(const Socket &socket);

/// Runs a program's body: an exception becomes "NAME: what" on stderr and exit status 1.
int run_main(const char *name, int (*body)(int argc, char **argv), int argc, char **argv);

}  // namespace samples
