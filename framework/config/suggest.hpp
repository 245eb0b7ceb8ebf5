// "Did you mean ...?"
#pragma once
#include <optional>
#include <span>
#include <string_view>

namespace sansock::config {

/// The candidate that `word` was most likely meant to be, if one is near. Case and separators count for nothing, so
/// that `SendBuffers` and `send-buffers` find `send_buffers`.
[[nodiscard]] std::optional<std::string_view> suggest(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace sansock::config
