// The ports of this host's RDMA devices, as the kernel shows them in files: nothing is opened, and no library of RDMA is needed.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace sansock::cli {

struct RdmaPort {
    enum class Kind { roce, iwarp, other };
    std::string device;  ///< "mlx5_0"
    std::string port;    ///< A number, from 1.
    Kind kind;
    std::string link;       ///< "InfiniBand"; empty where the kernel says nothing.
    std::string interface;  ///< Of the network; empty: none.
    std::string state;      ///< "4: ACTIVE"
    std::string node_guid;
    std::vector<std::string> gids;  ///< Those that are set, as IPv6 addresses.
    bool has_version_two = false;   ///< Of RoCE: an address for it.

    [[nodiscard]] bool is_active() const { return state.starts_with("4"); }
    /// "RoCE", "iWARP", or what the kernel calls it.
    [[nodiscard]] std::string kind_text() const;
};

/// Sorted by their names. `sys`: where sysfs is.
[[nodiscard]] std::vector<RdmaPort> rdma_ports(const std::filesystem::path &sys);

/// What stands in a folder, sorted; nothing where there is none.
[[nodiscard]] std::vector<std::filesystem::path> inside(const std::filesystem::path &folder);
/// The first line of a file, as it can be shown; empty where there is none.
[[nodiscard]] std::string line_of(const std::filesystem::path &file);

}  // namespace sansock::cli
