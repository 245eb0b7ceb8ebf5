// IP addresses and sets of them, as routes name them.
#pragma once
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace sansock::config {

/// An IPv4 or IPv6 address. An IPv4 address that came through an IPv6 socket (::ffff:10.0.0.1) is the IPv4 address: an
/// operator who writes 10.0.0.0/8 does not want to know which kind of socket the application opened.
struct Address {
    bool is_v6 = false;
    std::array<std::uint8_t, 16> bytes{};  ///< IPv4 uses the first four.

    /// Reads the textual form of either family.
    [[nodiscard]] static std::optional<Address> parse(std::string_view text);
    [[nodiscard]] int bits() const { return is_v6 ? 128 : 32; }
    [[nodiscard]] std::string text() const;

    friend auto operator<=>(const Address &, const Address &) = default;
};

/// An address and a port.
struct Endpoint {
    Address address;
    std::uint16_t port = 0;

    /// Nothing for families other than IPv4 and IPv6, and for a `length` that is too short for the family.
    [[nodiscard]] static std::optional<Endpoint> from(const sockaddr *name, socklen_t length);
};

/// All addresses of one family that share their first `prefix` bits. `::/0` holds no IPv4 address.
struct Subnet {
    Address base;  ///< Bits behind the prefix are zero.
    int prefix = 0;

    /// Reads `ADDRESS` or `ADDRESS/PREFIX`; the error says what is wrong with the text.
    [[nodiscard]] static std::expected<Subnet, std::string> parse(std::string_view text);
    [[nodiscard]] bool contains(const Address &address) const;
    [[nodiscard]] bool contains(const Subnet &other) const { return prefix <= other.prefix && contains(other.base); }
    [[nodiscard]] std::string text() const;

    friend auto operator<=>(const Subnet &, const Subnet &) = default;
};

/// Ports from `first` to `last`, both included.
struct PortRange {
    std::uint16_t first = 1;
    std::uint16_t last = 65535;

    /// Reads `PORT` or `FIRST-LAST`.
    [[nodiscard]] static std::expected<PortRange, std::string> parse(std::string_view text);
    [[nodiscard]] bool contains(std::uint16_t port) const { return first <= port && port <= last; }

    friend auto operator<=>(const PortRange &, const PortRange &) = default;
};

}  // namespace sansock::config
