// Loading a configuration and saying what is wrong with it, as every verb that takes one does.
#pragma once
#include <optional>
#include <string>

#include "config/load.hpp"

namespace sansock::cli {

/// The configuration in this file, or the embedded default for an empty name. Prints all faults and notes to standard
/// error; nothing when there are faults.
[[nodiscard]] std::optional<config::Config> load_and_report(const std::string &file);

}  // namespace sansock::cli
