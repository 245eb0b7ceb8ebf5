#include "cli/columns.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace sansock::cli {
namespace {

/// Characters of a text in UTF-8.
std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }));
}

}  // namespace

std::string in_columns(const std::vector<Column> &columns, const std::vector<std::vector<std::string>> &rows) {
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        widths.push_back(columns[i].title.size());
        for (const auto &row : rows) widths[i] = std::max(widths[i], width_of(row[i]));
    }
    std::string out;
    const auto line = [&](auto text_of) {
        std::string cells;
        for (std::size_t i = 0; i < columns.size(); ++i) {
            const std::string_view text = text_of(i);
            const std::string gap(widths[i] - width_of(text), ' ');
            cells += i == 0 ? "" : "  ";
            cells.append(columns[i].is_number ? gap : "").append(text).append(columns[i].is_number ? "" : gap);
        }
        cells.resize(cells.find_last_not_of(' ') + 1);
        out += cells + '\n';
    };
    line([&](std::size_t i) { return columns[i].title; });
    for (const auto &row : rows) line([&](std::size_t i) -> std::string_view { return row[i]; });
    return out;
}

std::string bytes_for_people(double bytes) {
    constexpr std::array kUnits = {"", " KiB", " MiB", " GiB", " TiB", " PiB"};
    std::size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
    return fmt::format("{:.{}f}{}", bytes, unit > 0 && bytes < 10 ? 1 : 0, kUnits[unit]);
}

}  // namespace sansock::cli
