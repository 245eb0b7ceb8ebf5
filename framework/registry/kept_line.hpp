// How a YAML file keeps the lines of the .reg file that it came from: a comment each.
//
//   #reg-encoding utf-16le-with-mark
//   #reg| "SendBuffers"=dword:0000000a       ended by CR and LF
//   #reg:lf| ...                              by LF alone
//   #reg:none| ...                            by the end of the file
#pragma once
#include <optional>

#include "registry/text.hpp"

namespace sansock::registry {

/// With the end of the line, as all of these.
[[nodiscard]] std::string kept_encoding(Encoding encoding);
[[nodiscard]] std::string kept_line(const Line &line, Encoding encoding);

/// What the comments of a YAML file keep; nothing: it was not imported. Fails, and says in `line` where, with what kept_line() never
/// writes.
[[nodiscard]] Result<std::optional<Text>> kept_text(std::string_view yaml, int &line);

}  // namespace sansock::registry
