#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/bench/results.hpp"
#include "cli/bench/statistics.hpp"

namespace sansock::cli::bench {
namespace {

constexpr const char *kShown[] = {"tcp", "unix", "sansock"};

/// Three digits that matter, and commas in what is large.
std::string shortly(double value) {
    const double size = std::abs(value);
    if (size >= 1000) {
        const std::string digits = fmt::format("{:.0f}", value);
        std::string grouped;
        for (std::size_t i = 0; i < digits.size(); ++i) {
            if (i > 0 && (digits.size() - i) % 3 == 0) grouped += ',';
            grouped += digits[i];
        }
        return grouped;
    }
    if (value == 0) return "0";
    return fmt::format("{:.{}f}", value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.01 ? 2 : 5);
}

std::string with_interval(const std::vector<double> &values) {
    if (values.empty()) return "";
    const Estimate is = estimate(values);
    if (values.size() == 1) return shortly(is.median);
    return fmt::format("{} ({} to {})", shortly(is.median), shortly(is.low), shortly(is.high));
}

void print_group(const GroupResult &result) {
    fmt::print("\n{}\n", result.group.title);
    std::size_t name_width = 0, figure_width = 0;
    for (const Case &one : result.cases) name_width = std::max(name_width, one.name.size());
    for (const Figure &figure : result.group.figures) figure_width = std::max(figure_width, figure.title.size() + figure.unit.size() + 2);
    fmt::print("  {:{}}  {:{}}  {:>10}  {:>10}  {:>10}", "", name_width, "", figure_width, "TCP", "Unix", "sansock");
    if (result.group.is_compared()) fmt::print("  {:>26}  {:>26}", "times better than TCP", "TCP against itself");
    fmt::print("\n");
    for (const Case &one : result.cases) {
        for (const Figure &figure : result.group.figures) {
            const bool first = &figure == &result.group.figures.front();
            fmt::print("  {:{}}  {:{}}", first ? one.name : "", name_width, figure.title + ", " + figure.unit, figure_width);
            const auto &values = one.values.at(figure.name);
            for (const char *transport : kShown) fmt::print("  {:>10}", shortly(estimate(values.at(transport)).median));
            if (figure.compared) {
                for (const char *transport : {"sansock", "control"}) {
                    fmt::print("  {:>26}", with_interval(ratios(one, figure, transport)));
                }
            }
            fmt::print("\n");
        }
    }
}

void print_paths(const Results &results) {
    fmt::print("\nBytes under sansock, counted at both ends\n");
    for (const GroupResult &result : results.groups) {
        const Paths &paths = result.paths;
        const auto all = paths.tcp_bytes + paths.provider_bytes;
        if (all == 0) continue;
        fmt::print("  {:16}  {:6.2f} % by a provider; {} of {} ends of connections moved", result.group.name,
                   100.0 * static_cast<double>(paths.provider_bytes) / static_cast<double>(all), paths.upgraded, paths.connections);
        for (const auto &[reason, count] : paths.reasons) fmt::print(", {} {}", count, reason);
        fmt::print("\n");
    }
}

}  // namespace

std::vector<double> ratios(const Case &one, const Figure &figure, const std::string &transport) {
    const auto &all = one.values.at(figure.name);
    const auto found = all.find(transport);
    std::vector<double> result;
    if (found == all.end()) return result;
    const std::vector<double> &tcp = all.at("tcp");
    for (std::size_t i = 0; i < std::min(tcp.size(), found->second.size()); ++i) {
        const double ours = found->second[i];
        const double above = figure.more_is_better ? ours : tcp[i], below = figure.more_is_better ? tcp[i] : ours;
        if (below > 0) result.push_back(above / below);
    }
    return result;
}

void print_table(const Results &results) {
    for (const GroupResult &result : results.groups) print_group(result);
    print_paths(results);
    const double worst = results.others.empty() ? 0 : *std::ranges::max_element(results.others);
    fmt::print(
        "\nMedians of {} repetition{}. A ratio is that of two neighbours in time; behind it in brackets is the "
        "interval that holds\n"
        "the true median with 95 % (below six repetitions: the range). Other programs took up to {:.0f} % of the "
        "machine's CPU time.\n",
        results.pairs, results.pairs == 1 ? "" : "s", 100 * worst);
    if (results.quick) fmt::print("This was a quick run: it shows that everything works, and its figures are worth little.\n");
}

}  // namespace sansock::cli::bench
