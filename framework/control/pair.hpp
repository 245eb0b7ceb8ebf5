// The two ends of a TCP connection, as one of its hosts names them.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "config/address.hpp"

namespace sansock::control {

struct Side {
    std::array<uint8_t, 16> address{};  ///< IPv4 as IPv6 maps it.
    uint16_t port = 0;

    static Side of(const sockaddr_in6 &name) {
        Side side{.port = ntohs(name.sin6_port)};
        std::memcpy(side.address.data(), &name.sin6_addr, sizeof side.address);
        return side;
    }
    /// Of a socket's name, in whichever family. A side without a port is nobody's.
    static Side of(const sockaddr_storage &name) {
        if (name.ss_family == AF_INET6) return of(reinterpret_cast<const sockaddr_in6 &>(name));
        Side side;
        if (name.ss_family != AF_INET) return side;
        const auto &v4 = reinterpret_cast<const sockaddr_in &>(name);
        side.address[10] = side.address[11] = 0xff;
        std::memcpy(side.address.data() + 12, &v4.sin_addr, sizeof v4.sin_addr);
        side.port = ntohs(v4.sin_port);
        return side;
    }

    [[nodiscard]] sockaddr_in6 name() const {
        sockaddr_in6 name{};
        name.sin6_family = AF_INET6;
        name.sin6_port = htons(port);
        std::memcpy(&name.sin6_addr, address.data(), sizeof name.sin6_addr);
        return name;
    }
    [[nodiscard]] config::Address host() const {
        const sockaddr_in6 whole = name();
        return config::Endpoint::from(reinterpret_cast<const sockaddr *>(&whole), sizeof whole)->address;
    }
    [[nodiscard]] std::string text() const {
        const config::Address at = host();
        return (at.is_v6 ? "[" + at.text() + "]:" : at.text() + ":") + std::to_string(port);
    }

    friend bool operator==(const Side &, const Side &) = default;
};

struct Pair {
    Side local, remote;

    [[nodiscard]] std::string_view bytes() const {
        static_assert(sizeof(Pair) == 36, "without gaps");
        return {reinterpret_cast<const char *>(this), sizeof *this};
    }
    friend bool operator==(const Pair &, const Pair &) = default;
};

}  // namespace sansock::control
