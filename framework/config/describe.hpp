// The table of settings, as people and other programs read it.
#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sansock::config {

/// A file that says every default and explains it. Loading it gives the embedded default.
[[nodiscard]] std::string default_file();

/// A JSON schema (draft 7) of configuration files, for editors. It knows what the table knows; what settings must be
/// to each other only loading tells.
[[nodiscard]] std::string schema();

/// What an operator wants to know about a setting, by its path or the end of it (`send_buffers`), and what is below
/// it; about all of them for an empty key.
[[nodiscard]] Result<std::string> explain(std::string_view key);

}  // namespace sansock::config
