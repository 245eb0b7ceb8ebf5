// What is wrong with a command line, for people.
#pragma once
#include <CLI/App.hpp>
#include <string>

namespace sansock::cli {

/// The parser's error as a sentence, which names the word that is wrong and the one that was likely meant.
[[nodiscard]] std::string complaint(const CLI::App &app, const CLI::ParseError &error);

/// Refuses an empty file name: who gives one, as a variable that is not set, does not mean "none".
[[nodiscard]] CLI::Validator names_file();

}  // namespace sansock::cli
