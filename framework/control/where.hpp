// Where to listen, as options name it.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "config/address.hpp"

namespace sansock::control {

struct Where {
    std::string host;
    uint16_t port = 0;
    int family = AF_INET;

    /// Reads 127.0.0.1:9470 or [::1]:9470.
    static Result<Where> parse(const std::string &text);
    [[nodiscard]] std::string text() const;
    /// A TCP socket that listens there and does not block; [::] is IPv4, too.
    [[nodiscard]] Result<UniqueFd> listen() const;
};

/// An address and a port as sockets take them, IPv4 as IPv4.
[[nodiscard]] socklen_t to_sockaddr(const config::Address &address, uint16_t port, sockaddr_storage &to);

}  // namespace sansock::control
