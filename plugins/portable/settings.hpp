// What an operator may say about the portable provider.
//
//     options:
//       address: 192.0.2.7      # of this host, IPv4 or IPv6: the only one that is offered; without it all are
//       ports: 7000-7099        # where it listens; without it the kernel chooses
//       message_max: 128 KiB    # 4 KiB to 1 MiB: the longest message
//       connect_timeout: 2s     # 10ms to 60s: for each address that is tried
//       timeout: 10s            # 2s to 3600s: an endpoint fails when its peer's host has been silent for so long
#pragma once
#include <cstdint>
#include <optional>

#include "common/address.hpp"

namespace sansock::portable {

using plugins::Address;
using plugins::names_a_host;
using plugins::parse_address;

inline constexpr std::uint64_t kMessageBytesMin = 4096;
inline constexpr std::uint64_t kMessageBytesMax = 1024 * 1024;

struct Ports {
    std::uint16_t first = 0;  ///< 0: any.
    std::uint16_t last = 0;
};

struct Settings {
    std::optional<Address> address;
    Ports ports;
    std::uint64_t message_bytes_max = 128 * 1024;
    std::uint64_t connect_timeout_ns = 2'000'000'000;
    std::uint64_t timeout_ns = 10'000'000'000;
};

/// Throws sdk::Failure with EINVAL: the origin, the line, the key, what is wrong and what is allowed.
[[nodiscard]] Settings parse_settings(const char *yaml, const char *origin);

}  // namespace sansock::portable
