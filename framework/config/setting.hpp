// The table of settings. One row drives the parser, `sansock config explain`, the commented default file and the JSON
// schema; to add a setting, add a row to settings.cpp and the field that it fills.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.hpp"
#include "config/document.hpp"

namespace sansock::config {

enum class Kind {
    // One value.
    integer,
    size,      ///< Bytes, with or without KiB, MiB or GiB.
    duration,  ///< With ns, us, ms or s.
    choice,    ///< One of the row's choices; stored as its index.
    plugin_name,
    log_target,  ///< `stderr` or an absolute path.
    // One value or a list of them; each is stored by itself.
    subnets,
    ports,
    programs,
    guids,
    user_groups,  ///< A list of lists of users.
    // A mapping that sansock does not look into, for the provider's plugin.
    block,
    // Values with rows of their own: their scope is the path, the path + ".GUID", the path + "[]".
    group,
    guid_map,
    sequence,
};

using Value = std::variant<std::uint64_t, std::chrono::nanoseconds, std::string, Subnet, PortRange, Guid, std::vector<User>>;

/// Where rows store their values: those of the scope being read, and above it.
struct Target {
    Config *config = nullptr;
    Provider *provider = nullptr;
    Route *route = nullptr;
};

struct Setting {
    std::string_view scope;  ///< Path of the block that the setting stands in, "" at the top.
    std::string_view name;
    Kind kind;
    std::uint64_t min = 0;  ///< Of integers; bytes of sizes; nanoseconds of durations.
    std::uint64_t max = 0;
    bool power_of_two = false;
    std::span<const std::string_view> choices{};
    bool required = false;
    std::string_view fallback{};  ///< What holds when the file says nothing, as in a file.
    std::string_view shipped{};   ///< Without a fallback: what the default file says, its GUID in a guid_map.
    std::string_view example{};   ///< Without either: what the default file shows in a comment.
    std::string_view summary;     ///< One sentence: what it is.
    std::string_view detail{};    ///< What else an operator wants to know before changing it.
    void (*store)(Target &target, Value value) = nullptr;

    [[nodiscard]] std::string path() const { return scope.empty() ? std::string(name) : std::string(scope) + '.' + std::string(name); }
    /// The scope of the rows below this one, "" for kinds without any.
    [[nodiscard]] std::string child_scope() const;
};

/// All rows, blocks before what they hold, in the order of the default file.
[[nodiscard]] std::span<const Setting> settings();

/// The rows that stand directly in this scope.
[[nodiscard]] std::vector<const Setting *> settings_in(std::string_view scope);

/// The names of these rows.
[[nodiscard]] std::vector<std::string_view> names_in(std::string_view scope);

/// What the kind and the row's limits allow, to follow "allowed: ".
[[nodiscard]] std::string allowed(const Setting &setting);

/// One value, or one element of a list of values. The error says what is wrong with it.
[[nodiscard]] std::expected<Value, std::string> convert(const Setting &setting, const Node &node);

[[nodiscard]] bool takes_list(Kind kind);

/// `65536` as `64 KiB`, as far as it divides.
[[nodiscard]] std::string size_text(std::uint64_t bytes);

/// What a person would call the node: `a list`, `"5"`.
[[nodiscard]] std::string describe(const Node &node);

}  // namespace sansock::config
