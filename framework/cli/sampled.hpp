// The status of a host, sampled again and again: what `sansock status` and `sansock top` show.
#pragma once
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/columns.hpp"
#include "control/client.hpp"

namespace sansock::cli {

struct Sample {
    control::wire::Status status;
    std::chrono::steady_clock::time_point at;
};

/// Connections that match the words (cli/which.hpp), and their processes, by program and address.
Result<Sample> take_sample(const std::string &directory, const std::vector<std::string> &words);

/// Bytes per second, which need a sample before.
struct Rates {
    std::optional<double> sends, receives;
};

class Rated {
public:
    Rated(const Sample &now, const std::optional<Sample> &before);
    [[nodiscard]] Rates of(const control::wire::Connection &connection) const;

private:
    double seconds_;
    std::map<std::string, int64_t> sent_, received_;  ///< By what tells an end from all others.
};

/// What is shown of a connection, with rates if `rates`.
[[nodiscard]] std::vector<Column> columns_of_connections(bool rates);
[[nodiscard]] std::vector<std::string> cells_of(const control::wire::Connection &connection, const std::optional<Rates> &rates);
/// "3 connections of 2 processes: 2 on a provider, 1 on TCP (1 peer-silent)".
[[nodiscard]] std::string summary(const control::wire::Status &status);

}  // namespace sansock::cli
