#include "units.hpp"

#include <charconv>
#include <cmath>
#include <span>

namespace sansock::simulated {
namespace {

struct Unit {
    std::string_view name;
    double factor;
};

std::optional<std::uint64_t> parse(std::string_view text, std::span<const Unit> units) {
    double number = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || !(number >= 0)) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    while (text.starts_with(' ')) text.remove_prefix(1);
    for (const Unit &unit : units) {
        const double value = number * unit.factor;
        if (text == unit.name && value < 1e18) return static_cast<std::uint64_t>(std::llround(value));
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_duration(std::string_view text) {
    static constexpr Unit kUnits[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    return parse(text, kUnits);
}

std::optional<std::uint64_t> parse_bandwidth(std::string_view text) {
    static constexpr Unit kUnits[] = {{"bit", 1.0 / 8}, {"Kbit", 1e3 / 8}, {"Mbit", 1e6 / 8}, {"Gbit", 1e9 / 8}};
    return parse(text, kUnits);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    static constexpr Unit kUnits[] = {{"", 1}, {"B", 1}, {"KiB", 1024}, {"MiB", 1024 * 1024}};
    return parse(text, kUnits);
}

}  // namespace sansock::simulated
