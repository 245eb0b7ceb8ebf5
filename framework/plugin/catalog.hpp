// The plugins that are installed, from their manifests alone.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugin/manifest.hpp"

namespace sansock::plugin {

/// Why a manifest is not in the catalog. The rest works.
struct Problem {
    std::filesystem::path file;
    std::string plugin;  ///< Its name, as far as that could be read.
    std::string text;    ///< Begins with the file.
};

class Catalog {
public:
    /// Reads every `*.yaml` of the directories, in their order and by name within each. Never fails: what cannot be
    /// used is a problem. Of two plugins with one name, or with one GUID, the first keeps it and the second is left
    /// out.
    [[nodiscard]] static Catalog scan(std::span<const std::filesystem::path> directories);

    [[nodiscard]] const std::vector<Manifest> &plugins() const { return plugins_; }
    [[nodiscard]] const std::vector<Problem> &problems() const { return problems_; }

    /// nullptr when there is none.
    [[nodiscard]] const Manifest *find(std::string_view name) const;
    [[nodiscard]] const Manifest *find_by_guid(std::string_view guid) const;

    /// A sentence for an operator who asked for a plugin that is not here: its problem, if one is known, or which
    /// plugins there are.
    [[nodiscard]] std::string explain_missing(std::string_view name) const;

private:
    void add(Manifest manifest);

    std::vector<Manifest> plugins_;
    std::vector<Problem> problems_;
};

/// Where plugins are looked for: the directories in `listed` (separated by colons; SANSOCK_PLUGIN_PATH, ignored in a setuid
/// program), then the one that belongs to the library or program that this code is in, in the build tree as installed.
[[nodiscard]] std::vector<std::filesystem::path> search_path(const char *listed = ::secure_getenv("SANSOCK_PLUGIN_PATH"));

}  // namespace sansock::plugin
