// A .reg file as lines of code units, exactly: every byte of the file can be written again from them.
//
// Registry editors write version 5 files in UTF-16 with a byte order mark, and version 4 ones in the code page of their machine, which
// the file does not name. So nothing is converted: a unit is a byte or two, and what is not ASCII in a file of bytes stays a number.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace sansock::registry {

enum class Encoding : uint8_t { bytes, utf8_mark, utf16le_mark, utf16le, utf16be_mark };

/// The name as YAML files keep it.
[[nodiscard]] std::string_view name_of(Encoding encoding);
/// False: no encoding is called so.
[[nodiscard]] bool parse_encoding(std::string_view name, Encoding &encoding);

enum class Ending : uint8_t { crlf, lf, none };

struct Line {
    std::u16string units;
    Ending ending = Ending::crlf;

    friend bool operator==(const Line &, const Line &) = default;
};

struct Text {
    Encoding encoding = Encoding::utf16le_mark;
    std::vector<Line> lines;

    friend bool operator==(const Text &, const Text &) = default;
};

/// Fails with EINVAL for a file that ends within a character.
[[nodiscard]] Result<Text> decode(std::string_view bytes);
[[nodiscard]] std::string encode(const Text &text);

/// The units as one line of printable text: UTF-8, what is no character as %XX or %uXXXX, and % itself as %25.
[[nodiscard]] std::string escape(std::u16string_view units, Encoding encoding);
/// The units again. Fails with EINVAL where a % is not followed by what escape() writes.
[[nodiscard]] Result<std::u16string> unescape(std::string_view escaped, Encoding encoding);

/// Units of ASCII, any other as '?': for what only ever compares them with ASCII.
[[nodiscard]] std::string ascii(std::u16string_view units);

}  // namespace sansock::registry
