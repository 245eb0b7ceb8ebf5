// What an operator may say about a provider of RDMA hardware. roce/ and iwarp/ add what is theirs alone.
//
//     options:
//       device: mlx5_0          # or its network interface, node GUID, port GUID or a GID; without it the first device that fits
//       address: 192.0.2.7      # of this host, on that device; without it the first
//       message_max: 128 KiB    # 4 KiB to 1 MiB: the longest message
//       connect_timeout: 2s     # 10ms to 60s: for a connection, of which each end waits twice as long for the other
//       traffic_class: 106      # 0 to 255: of its packets; the network's switches tell the classes apart
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "common/address.hpp"

namespace sansock::verbs {

class Transport;

inline constexpr std::uint64_t kMessageBytesMin = 4096;
inline constexpr std::uint64_t kMessageBytesMax = 1024 * 1024;

struct Settings {
    std::string device;  ///< Empty: any.
    std::optional<plugins::Address> address;
    std::uint64_t message_bytes_max = 128 * 1024;
    std::uint64_t connect_timeout_ns = 2'000'000'000;
    std::optional<std::uint8_t> traffic_class;
};

/// What the transport alone knows it is asked to read. Throws sdk::Failure with EINVAL: the origin, the line, the key, what is wrong and
/// what is allowed.
[[nodiscard]] Settings parse_settings(const char *yaml, const char *origin, Transport &transport);

}  // namespace sansock::verbs
