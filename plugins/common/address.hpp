// Addresses of IPv4 and IPv6 in one form, that of IPv6: 192.0.2.7 is ::ffff:192.0.2.7.
#pragma once
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sansock::plugins {

using Address = std::array<std::uint8_t, 16>;

[[nodiscard]] std::optional<Address> parse_address(const std::string &text);
[[nodiscard]] int family_of(const Address &address) noexcept;

/// Of one host, and known there without naming an interface: not the wildcard, no multicast or broadcast, no link-local address.
[[nodiscard]] bool names_a_host(const Address &address) noexcept;

/// As the kernel wants it. Its length.
[[nodiscard]] socklen_t to_kernel(const Address &address, std::uint16_t port, sockaddr_storage &into) noexcept;

/// As people write it.
[[nodiscard]] std::string text_of(const Address &address);
/// Without the port that comes with it; nothing for what is neither IPv4 nor IPv6.
[[nodiscard]] std::optional<Address> from_kernel(const sockaddr &from) noexcept;

/// The name of the network interface of this host that has the address; empty: none has.
[[nodiscard]] std::string interface_of(const Address &address);

/// Those of this host's interfaces that are up, loopback last, `count_max` at most.
[[nodiscard]] std::vector<Address> addresses_of_host(bool with_six, std::size_t count_max);

}  // namespace sansock::plugins
