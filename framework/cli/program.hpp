// The program that `sansock run` is to execute, as far as its file tells.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "base/result.hpp"

namespace sansock::cli {

/// The file that execvp(3) would execute for this name. ENOENT: there is none. Others: there is one, but it cannot be
/// executed.
[[nodiscard]] Result<std::filesystem::path> find_program(const std::string &name);

/// Why a preloaded library will not be seen by this program, as a sentence; nothing when it will be, as far as one
/// can tell from the file. A script is judged by its interpreter.
[[nodiscard]] std::optional<std::string> why_not_preloadable(const std::filesystem::path &program);

}  // namespace sansock::cli
