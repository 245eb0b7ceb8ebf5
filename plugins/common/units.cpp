#include "common/units.hpp"

#include <charconv>
#include <span>

namespace sansock::plugins {
namespace {

/// A unit is worth `factor` / `divisor` of what is counted.
struct Unit {
    std::string_view name;
    std::uint64_t factor;
    std::uint64_t divisor = 1;
};

/// The same as in the framework's own settings: a whole number, a blank or none, a unit.
std::optional<std::uint64_t> parse(std::string_view text, std::span<const Unit> units) {
    std::uint64_t number = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto digits = static_cast<std::size_t>(rest - text.data());
    if (error != std::errc() || (digits > 1 && text.front() == '0')) return std::nullopt;
    text.remove_prefix(digits);
    while (text.starts_with(' ')) text.remove_prefix(1);
    for (const Unit &unit : units) {
        if (text != unit.name) continue;
        if (number > UINT64_MAX / unit.factor) return std::nullopt;
        return number * unit.factor / unit.divisor;
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_duration(std::string_view text) {
    static constexpr Unit kUnits[] = {{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}};
    if (text == "0") return 0;
    return parse(text, kUnits);
}

std::optional<std::uint64_t> parse_bandwidth(std::string_view text) {
    static constexpr Unit kUnits[] = {{"bit", 1, 8}, {"Kbit", 1'000, 8}, {"Mbit", 1'000'000, 8}, {"Gbit", 1'000'000'000, 8}};
    return parse(text, kUnits);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
    static constexpr Unit kUnits[] = {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    return parse(text, kUnits);
}

}  // namespace sansock::plugins
