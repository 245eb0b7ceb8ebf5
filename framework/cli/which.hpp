// Which connections an operator means.
#pragma once
#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "control/client.hpp"

namespace sansock::cli {

/// The words that name them on a command line.
CLI::Option *add_which(CLI::App &verb, std::vector<std::string> &words);

/// A word is a program's name, a process's number, or an address or the end of one, as :6379. No words: all.
[[nodiscard]] bool matches(const control::wire::Connection &connection, const std::vector<std::string> &words);

}  // namespace sansock::cli
