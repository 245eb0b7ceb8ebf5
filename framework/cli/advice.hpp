// What the reasons of reports mean, for people.
#pragma once
#include <span>
#include <string_view>

namespace sansock::cli {

/// As docs/reports.md has it; a test compares the two.
struct Advice {
    std::string_view reason, cause;
    std::string_view remedy;  ///< Empty: there is none.
};
[[nodiscard]] std::span<const Advice> advice();

}  // namespace sansock::cli
