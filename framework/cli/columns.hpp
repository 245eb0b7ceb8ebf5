// Tables for people.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace sansock::cli {

struct Column {
    std::string_view title;
    bool is_number = false;  ///< Stands at the right.
};

/// The rows as lines under their titles, each column as wide as its widest text in characters. Each row has a text for every column.
[[nodiscard]] std::string in_columns(const std::vector<Column> &columns, const std::vector<std::vector<std::string>> &rows);

/// As 12, 3.4 KiB or 5.6 GiB.
[[nodiscard]] std::string bytes_for_people(double bytes);

}  // namespace sansock::cli
