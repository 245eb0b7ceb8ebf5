// What is wrong with a configuration, and where.
#pragma once
#include <compare>
#include <string>

namespace sansock::config {

/// Both count from 1. A fault of the file as a whole is at 1:1.
struct Position {
    int line = 1;
    int column = 1;

    friend auto operator<=>(const Position &, const Position &) = default;
};

struct Diagnostic {
    std::string file;  ///< The name that the text was loaded under.
    Position position;
    std::string text;  ///< What is wrong, and what is allowed.

    /// `file:line:column: text`, as compilers say it and editors read it.
    [[nodiscard]] std::string format() const {
        return file + ':' + std::to_string(position.line) + ':' + std::to_string(position.column) + ": " + text;
    }
};

}  // namespace sansock::config
