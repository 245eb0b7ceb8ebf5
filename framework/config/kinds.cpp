// What each kind of setting takes, in words and in code.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

#include "config/setting.hpp"

namespace sansock::config {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};

// From small to large.
constexpr Unit kSizeUnits[] = {{"", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
constexpr Unit kTimeUnits[] = {{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}};

constexpr std::uint64_t kTooLarge = std::numeric_limits<std::uint64_t>::max();

std::unexpected<std::string> wrong(std::string text) { return std::unexpected(std::move(text)); }

/// A whole number and a unit, or nothing. What does not fit is kTooLarge, so that it is out of range and not wrong.
std::optional<std::uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units) {
    const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
    if (digits == 0 || (text[0] == '0' && digits > 1)) return std::nullopt;
    std::uint64_t count = 0;
    if (std::from_chars(text.data(), text.data() + digits, count).ec != std::errc{}) count = kTooLarge;

    const std::size_t name = std::min(text.find_first_not_of(' ', digits), text.size());
    const auto unit = std::ranges::find(units, text.substr(name), &Unit::name);
    if (unit == units.end()) return std::nullopt;
    return count > kTooLarge / unit->factor ? kTooLarge : count * unit->factor;
}

std::string quantity_text(std::uint64_t value, std::span<const Unit> units, std::string_view separator) {
    const Unit *best = &units.front();
    for (const Unit &unit : units)
        if (value >= unit.factor && value % unit.factor == 0) best = &unit;
    return fmt::format("{}{}{}", value / best->factor, best->name.empty() ? "" : separator, best->name);
}

std::string duration_text(std::uint64_t nanoseconds) { return nanoseconds == 0 ? "0" : quantity_text(nanoseconds, kTimeUnits, ""); }

std::string bound_text(const Setting &setting, std::uint64_t value) {
    if (setting.kind == Kind::size) return size_text(value);
    if (setting.kind == Kind::duration) return duration_text(value);
    return std::to_string(value);
}

std::expected<std::uint64_t, std::string> in_range(const Setting &setting, std::uint64_t value, const Node &node) {
    if (value < setting.min) return wrong(fmt::format("{} is too small", node.text));
    if (value > setting.max) return wrong(fmt::format("{} is too large", node.text));
    if (setting.power_of_two && !std::has_single_bit(value)) return wrong(fmt::format("{} is not a power of two", node.text));
    return value;
}

std::expected<Value, std::string> to_integer(const Setting &setting, const Node &node) {
    static constexpr Unit kNone[] = {{"", 1}};
    if (node.quoted) return wrong(fmt::format("{} is text, not a number (remove the quotes)", describe(node)));
    const bool negative = node.text.starts_with('-');
    const auto number = parse_quantity(std::string_view(node.text).substr(negative ? 1 : 0), kNone);
    if (!number) return wrong(fmt::format("{} is not a whole number", describe(node)));
    if (negative) return wrong(fmt::format("{} is too small", node.text));
    return in_range(setting, *number, node);
}

std::expected<Value, std::string> to_size(const Setting &setting, const Node &node) {
    const auto bytes = parse_quantity(node.text, kSizeUnits);
    if (!bytes) return wrong(fmt::format("{} is not a size", describe(node)));
    return in_range(setting, *bytes, node);
}

std::expected<Value, std::string> to_duration(const Setting &setting, const Node &node) {
    const auto time = node.text == "0" ? std::optional<std::uint64_t>(0) : parse_quantity(node.text, kTimeUnits);
    if (!time) return wrong(fmt::format("{} is not a time with its unit", describe(node)));
    if (const auto fits = in_range(setting, *time, node); !fits) return wrong(fits.error());
    return std::chrono::nanoseconds(*time);
}

std::expected<Value, std::string> to_choice(const Setting &setting, const Node &node) {
    const auto found = std::ranges::find(setting.choices, node.text);
    if (found == setting.choices.end()) return wrong(fmt::format("{} is not a choice", describe(node)));
    return Value(static_cast<std::uint64_t>(found - setting.choices.begin()));
}

std::expected<Value, std::string> to_plugin_name(const Node &node) {
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    };
    if (node.text.empty() || !std::ranges::all_of(node.text, fits)) return wrong(fmt::format("{} is not a plugin name", describe(node)));
    return node.text;
}

std::expected<Value, std::string> to_program(const Node &node) {
    if (node.text.empty() || node.text.find('/') != std::string::npos) return wrong(fmt::format("{} is not a file name", describe(node)));
    return node.text;
}

std::expected<Value, std::string> to_log_target(const Node &node) {
    if (node.text == "stderr") return std::string();
    if (!node.text.starts_with('/') || node.text.ends_with('/')) return wrong(fmt::format("{} is not a target", describe(node)));
    return node.text;
}

std::expected<Value, std::string> to_guid(const Node &node) {
    if (const auto guid = Guid::parse(node.text)) return *guid;
    return wrong(fmt::format("{} is not a GUID", describe(node)));
}

std::expected<Value, std::string> to_users(const Node &node) {
    std::vector<User> users;
    for (const Node &item : node.items) {
        if (item.type != Node::Type::scalar || item.text.empty()) return wrong(fmt::format("{} is not a user", describe(item)));
        User user{.name = item.text, .uid = {}};
        uid_t uid = 0;
        const char *end = item.text.data() + item.text.size();
        const auto parsed = std::from_chars(item.text.data(), end, uid);
        if (!item.quoted && parsed.ptr == end) {
            // The largest uid means "no user" to the kernel.
            if (parsed.ec != std::errc{} || uid == std::numeric_limits<uid_t>::max())
                return wrong(fmt::format("{} is too large for a uid", item.text));
            user.uid = uid;
        }
        users.push_back(std::move(user));
    }
    if (users.size() < 2) return wrong("a group of fewer than two users allows nothing");
    return users;
}

/// Unquoted, `{GUID}` is YAML for a mapping with one key and no value. What was meant is plain.
Node without_braces(const Node &node) {
    if (node.type != Node::Type::mapping || node.members.size() != 1) return node;
    const auto &[key, value] = node.members.front();
    if (key.type != Node::Type::scalar || value.type != Node::Type::null || !Guid::parse(key.text)) return node;
    Node guid = key;
    guid.position = node.position;
    return guid;
}

std::expected<Value, std::string> convert_scalar(const Setting &setting, const Node &node) {
    switch (setting.kind) {
        case Kind::integer: return to_integer(setting, node);
        case Kind::size: return to_size(setting, node);
        case Kind::duration: return to_duration(setting, node);
        case Kind::choice: return to_choice(setting, node);
        case Kind::plugin_name: return to_plugin_name(node);
        case Kind::log_target: return to_log_target(node);
        case Kind::subnets: return Subnet::parse(node.text);
        case Kind::ports: return PortRange::parse(node.text);
        case Kind::programs: return to_program(node);
        case Kind::guids:
        case Kind::guid_map: return to_guid(node);
        default: std::unreachable();
    }
}

/// At most so many bytes, and no part of a character.
std::string_view beginning(std::string_view text, std::size_t bytes) {
    while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
    return text.substr(0, bytes);
}

}  // namespace

std::string size_text(std::uint64_t bytes) { return quantity_text(bytes, kSizeUnits, " "); }

std::string describe(const Node &node) {
    static constexpr std::size_t kShown = 60;
    switch (node.type) {
        case Node::Type::null: return "nothing";
        case Node::Type::scalar:
            return node.text.size() <= kShown ? fmt::format("\"{}\"", node.text) : fmt::format("\"{}...\"", beginning(node.text, kShown));
        case Node::Type::sequence: return "a list";
        case Node::Type::mapping: return "a mapping";
    }
    std::unreachable();
}

bool takes_list(Kind kind) {
    return kind == Kind::subnets || kind == Kind::ports || kind == Kind::programs || kind == Kind::guids || kind == Kind::user_groups;
}

std::string allowed(const Setting &setting) {
    const auto range = [&] { return fmt::format("{} to {}", bound_text(setting, setting.min), bound_text(setting, setting.max)); };
    switch (setting.kind) {
        case Kind::integer: return "a whole number, " + range();
        case Kind::size:
            return fmt::format("{}{}, in bytes or with KiB, MiB or GiB", range(), setting.power_of_two ? ", a power of two" : "");
        case Kind::duration: return fmt::format("{}, with ns, us, ms or s", range());
        case Kind::choice: return fmt::format("{}", fmt::join(setting.choices, ", "));
        case Kind::plugin_name: return "letters, digits, - and _";
        case Kind::log_target: return "stderr or the absolute path of a file";
        case Kind::block: return "a mapping";
        case Kind::subnets: return "a list of IPv4 or IPv6 addresses or subnets, as 10.0.0.0/8 or fd00::/8";
        case Kind::ports: return "a list of ports (1 to 65535) or ranges of them, as 7000-7999";
        case Kind::programs: return "a list of file names without directories";
        case Kind::guids: return "a list of GUIDs, as 01234567-89ab-cdef-0123-456789abcdef";
        case Kind::user_groups: return "a list of groups, each a list of two or more user names or uids";
        case Kind::group: return fmt::format("a mapping with {}", fmt::join(names_in(setting.child_scope()), ", "));
        case Kind::guid_map: return "a mapping from GUIDs, as 01234567-89ab-cdef-0123-456789abcdef, to blocks";
        case Kind::sequence: return "a list of mappings, [] for none";
    }
    std::unreachable();
}

std::expected<Value, std::string> convert(const Setting &setting, const Node &node) {
    if (setting.kind == Kind::user_groups) {
        if (node.type == Node::Type::sequence) return to_users(node);
    } else if (setting.kind == Kind::guids || setting.kind == Kind::guid_map) {
        const Node guid = without_braces(node);
        if (guid.type == Node::Type::scalar) return convert_scalar(setting, guid);
    } else if (node.type == Node::Type::scalar) {
        return convert_scalar(setting, node);
    }
    return wrong(fmt::format("{} is not what belongs here", describe(node)));
}

}  // namespace sansock::config
