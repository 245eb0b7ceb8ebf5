// What stands in the way of RDMA providers on a host, and what to do about it.
//
// The kernel tells all of that in files, so that nothing is opened or changed for it, and no library of RDMA is needed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace sansock::cli {

struct Finding {
    enum class Kind { fine, hint, fault };
    Kind kind;
    std::string what;  ///< A sentence without a full stop.
    std::string fix;   ///< Empty for what is fine.
};

/// Where to look.
struct Host {
    std::string sys = "/sys";
    std::string dev = "/dev";
    std::uint64_t locked_bytes_max = 0;  ///< RLIMIT_MEMLOCK; UINT64_MAX: as many as one likes.
};

/// In the order in which things are set up: modules, devices and their ports, what programs may do with them.
[[nodiscard]] std::vector<Finding> examine(const Host &host);

}  // namespace sansock::cli
