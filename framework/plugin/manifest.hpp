// What a plugin says about itself in the YAML file beside its library.
//
// Read before anything is loaded: listing the plugins of a machine must not run vendors' code in the process that
// lists.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace sansock::plugin {

struct Manifest {
    std::filesystem::path file;     ///< The manifest itself.
    std::filesystem::path library;  ///< Absolute; beside the manifest.
    std::string name;               ///< What `plugin:` in the configuration refers to.
    std::string version;
    std::string vendor;
    std::string description;
    std::uint32_t abi_major = 0;  ///< Of the contract that the library was built against.
    std::uint32_t abi_minor = 0;
    std::vector<std::string> guids;  ///< Canonical: lower case, no braces.
};

/// Reads one manifest. The error names file, line and column, what is wrong and what is allowed. Whether the library
/// exists and fits this host is left to the loading, so that a listing shows a broken plugin too.
[[nodiscard]] Result<Manifest> read_manifest(const std::filesystem::path &file);

}  // namespace sansock::plugin
