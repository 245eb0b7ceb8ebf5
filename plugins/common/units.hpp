// Quantities with units, as people write them in YAML: "20us", "10Gbit", "64 KiB". Numbers are whole.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace sansock::plugins {

/// Nanoseconds of a number with ns, us, ms or s behind it, or of 0.
[[nodiscard]] std::optional<std::uint64_t> parse_duration(std::string_view text);

/// Bytes a second of a number with bit, Kbit, Mbit or Gbit behind it.
[[nodiscard]] std::optional<std::uint64_t> parse_bandwidth(std::string_view text);

/// Bytes of a number with nothing, KiB, MiB or GiB behind it.
[[nodiscard]] std::optional<std::uint64_t> parse_size(std::string_view text);

}  // namespace sansock::plugins
