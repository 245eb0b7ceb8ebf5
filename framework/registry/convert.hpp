// Between the registry of Winsock Direct and a configuration file.
//
// The YAML keeps every line of the .reg file as a comment, in its place, so that the file can be written again from it: byte for byte
// where nothing was changed, and with the new numbers where something was.
#pragma once
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.hpp"

namespace sansock::registry {

struct Converted {
    std::string text;  ///< YAML, or the bytes of a .reg file.
    size_t providers = 0;
    std::vector<config::Diagnostic> notes;
};
using Conversion = std::expected<Converted, std::vector<config::Diagnostic>>;

/// `name` is what notes, errors and the YAML call the file; `plugin` drives the providers, whose drivers a .reg file does not name.
[[nodiscard]] Conversion import_registry(std::string_view bytes, const std::string &name, const std::string &plugin);

/// The bytes of a .reg file that says what the YAML says; `name` is what errors call it. A file that was never imported becomes one of
/// version 5 in UTF-16.
[[nodiscard]] Conversion export_registry(std::string_view yaml, const std::string &name);

}  // namespace sansock::registry
