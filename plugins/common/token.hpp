// What an end of a connection knows the other one by.
#pragma once
#include <array>
#include <cstdint>

namespace sansock::plugins {

/// 128 bits that nobody guesses.
using Token = std::array<std::uint8_t, 16>;
[[nodiscard]] Token new_token();
/// In a time that does not tell how much of them is the same.
[[nodiscard]] bool same(const Token &one, const Token &other) noexcept;

}  // namespace sansock::plugins
