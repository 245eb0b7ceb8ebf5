// What was measured, and how it is told: as a table and as JSON.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/bench/plan.hpp"

namespace sansock::cli::bench {

/// In the order of the table. The control is TCP once more: how far it is from TCP says what a ratio near 1 is worth.
inline constexpr const char *kTransports[] = {"tcp", "unix", "sansock", "control"};

struct Case {
    std::string name;    ///< As in the table.
    std::string number;  ///< As the worker knows it.
    /// Values of each repetition by figure and transport.
    std::map<std::string, std::map<std::string, std::vector<double>>> values;
};

/// How the bytes of one group's connections travelled under sansock, from its report.
struct Paths {
    std::uint64_t connections = 0;  ///< Of both ends.
    std::uint64_t upgraded = 0;
    std::uint64_t tcp_bytes = 0;
    std::uint64_t provider_bytes = 0;
    std::map<std::string, std::uint64_t> reasons;  ///< Of those that stayed on TCP.
};

struct GroupResult {
    Group group;
    std::vector<Case> cases;
    Paths paths;
};

struct Results {
    bool quick = false;
    unsigned pairs = 0;
    /// For each repetition the share of the machine's CPU time that other programs took.
    std::vector<double> others;
    std::vector<GroupResult> groups;
};

/// How many times better than TCP a transport did in each repetition, for one figure.
std::vector<double> ratios(const Case &one, const Figure &figure, const std::string &transport);

void print_table(const Results &results);
/// Throws std::runtime_error when it cannot be written.
void write_json(const Results &results, const std::string &file);

}  // namespace sansock::cli::bench
