// YAML in, Config out.
#pragma once
#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace sansock::config {

/// What the host knows and the file does not.
struct Host {
    /// Whether a plugin of this name is installed; without it nothing is said about plugins.
    std::function<bool(std::string_view plugin)> has_plugin;
    /// The uid of a user's name. The usual one asks the system's user database; a process that must not open
    /// connections of its own (the database may be on the network) can give another.
    std::function<std::optional<uid_t>(const std::string &name)> find_user;

    /// Whether there is a folder of this name; without it nothing is said about folders.
    std::function<bool(const std::string &path)> has_folder{};

    [[nodiscard]] static Host usual();
};

struct Loaded {
    std::expected<Config, std::vector<Diagnostic>> config;  ///< All faults at once, in the file's order.
    std::vector<Diagnostic> notes;                          ///< What is allowed but worth knowing.
};

/// `name` is what diagnostics call the text.
[[nodiscard]] Loaded load_text(std::string_view text, const std::string &name, const Host &host = Host::usual());

/// Reads a regular file of at most 256 KiB.
[[nodiscard]] Loaded load_file(const std::filesystem::path &file, const Host &host = Host::usual());

/// What holds when no file is given: one simulated provider, preferred for every connection.
[[nodiscard]] Config embedded_default();

}  // namespace sansock::config
