#include "config/suggest.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

namespace sansock::config {
namespace {

std::string letters_of(std::string_view word) {
    std::string out;
    for (const char c : word) {
        if (c >= 'A' && c <= 'Z') {
            out += static_cast<char>(c - 'A' + 'a');
        } else if (c != '_' && c != '-' && c != ' ') {
            out += c;
        }
    }
    return out;
}

/// Edits (insert, remove, replace one character) from one word to the other.
std::size_t distance(std::string_view from, std::string_view to) {
    std::vector<std::size_t> row(to.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= from.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= to.size(); ++j) {
            const std::size_t replaced = diagonal + (from[i - 1] != to[j - 1] ? 1 : 0);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
        }
    }
    return row.back();
}

}  // namespace

std::optional<std::string_view> suggest(std::string_view word, std::span<const std::string_view> candidates) {
    static constexpr std::size_t kWordMax = 64;  // Nothing longer is a slip of the finger, and it would take long.
    if (word.size() > kWordMax) return std::nullopt;

    const std::string wanted = letters_of(word);
    std::optional<std::string_view> best;
    std::size_t best_distance = kWordMax;
    for (const std::string_view candidate : candidates) {
        const std::string letters = letters_of(candidate);
        const std::size_t edits = distance(wanted, letters);
        const std::size_t allowed = std::max(wanted.size(), letters.size()) / 3;
        if (edits > allowed || edits >= best_distance) continue;
        best = candidate;
        best_distance = edits;
    }
    return best;
}

}  // namespace sansock::config
