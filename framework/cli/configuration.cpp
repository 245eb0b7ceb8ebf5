#include "cli/configuration.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "config/describe.hpp"
#include "plugin/catalog.hpp"

namespace sansock::cli {

std::optional<config::Config> load_and_report(const std::string &file) {
    const auto catalog = plugin::Catalog::scan(plugin::search_path());
    auto host = config::Host::usual();
    host.has_plugin = [&](std::string_view name) { return catalog.find(name) != nullptr; };

    host.has_folder = [](const std::string &path) {
        std::error_code unknown;
        return std::filesystem::is_directory(path, unknown);
    };

    auto loaded = file.empty() ? config::load_text(config::default_file(), "embedded default", host) : config::load_file(file, host);
    for (const auto &note : loaded.notes) fmt::print(stderr, "{}\n", note.format());
    if (loaded.config) return *std::move(loaded.config);
    for (const auto &fault : loaded.config.error()) fmt::print(stderr, "{}\n", fault.format());
    return std::nullopt;
}

}  // namespace sansock::cli
