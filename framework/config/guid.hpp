// The name of a provider, as Winsock Direct named it: sixteen bytes, written as text in a few customary ways.
#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sansock::config {

struct Guid {
    std::array<std::uint8_t, 16> bytes{};  ///< In the order in which the text shows them.

    /// Reads 8-4-4-4-12 hexadecimal digits of any case, with or without braces around them.
    [[nodiscard]] static std::optional<Guid> parse(std::string_view text);

    /// The canonical text: lower case, no braces.
    [[nodiscard]] std::string text() const;

    friend auto operator<=>(const Guid &, const Guid &) = default;
};

}  // namespace sansock::config
