// The configuration as plain data: what the YAML says, checked and complete.
//
// Every value comes from a file or from the default in the table of settings (config/settings.cpp), never from an
// initialiser here, so that there is one place to look a default up. `load.hpp` makes a Config.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/address.hpp"
#include "config/diagnostic.hpp"
#include "config/guid.hpp"

namespace sansock::config {

/// One block under `providers:`, kept whether or not its plugin is installed.
struct Provider {
    Guid guid;
    std::string plugin;
    std::uint32_t send_buffers = 0;     ///< Per connection.
    std::uint32_t receive_buffers = 0;  ///< Per connection.
    std::uint32_t buffer_size = 0;      ///< Bytes, a power of two.
    std::uint64_t max_memory = 0;       ///< Bytes, for all buffers of the process.
    std::uint64_t rdma_threshold = 0;   ///< Bytes; 0 leaves the choice to the plugin, which alone uses it.
    std::string block_yaml;  ///< What the plugin gets: a mapping with `options`, `simulation` and, in bytes, `rdma_threshold`, as far as
                             ///< given; empty without any.
    Position position;       ///< Of the GUID.
    std::string origin;      ///< `file:line` of the GUID, for what the plugin finds wrong with its block.
};

enum class Policy { prefer, require, forbid };

/// A connection becomes a candidate once this end has made that many data calls or moved that many bytes, and the
/// other direction has moved too. 0 means at the first chance.
struct UpgradeAfter {
    std::uint32_t calls = 0;
    std::uint64_t bytes = 0;
};

/// An empty list matches everything.
struct Route {
    std::vector<Subnet> destinations;
    std::vector<PortRange> ports;
    std::vector<std::string> programs;
    std::vector<Guid> providers;  ///< In order of preference; each has a block. Empty only with Policy::forbid.
    Policy policy{};
    UpgradeAfter upgrade_after;  ///< What the route says, or else the file's.
    Position position;
};

enum class WaitPolicy { adaptive, spin, park };

struct Waiting {
    WaitPolicy policy{};
    std::chrono::nanoseconds spin_max{};
};

enum class LogLevel { error, warning, info, debug };

struct Logging {
    LogLevel level{};
    std::string file;  ///< Absolute path; empty for standard error.
};

/// A user that does not exist on this host keeps the name and has no uid.
struct User {
    std::string name;
    std::optional<uid_t> uid;
};

struct Access {
    std::vector<std::vector<User>> allow;  ///< Within a group, everyone may share memory with everyone.
};

struct Timeouts {
    std::chrono::nanoseconds step{};
    std::chrono::nanoseconds rendezvous{};
    std::chrono::nanoseconds require{};
    std::chrono::nanoseconds path{};
    std::chrono::nanoseconds return_after{};
};

struct Config {
    std::vector<Provider> providers;  ///< In the file's order.
    std::vector<Route> routes;
    UpgradeAfter upgrade_after;
    Waiting waiting;
    Logging logging;
    Access access;
    Timeouts timeouts;

    /// The block of this GUID, or nullptr.
    [[nodiscard]] const Provider *find(const Guid &guid) const;
};

/// The first route that covers a connection, or nullptr: then it stays on TCP.
///
/// `server` is the address of the connection's server side, seen from either end: the local address of a connection
/// that was accepted, the remote address of one that was connected. Both ends so look at the same address, and one
/// route means the same to both. `program` is the file name of this process's executable, without directories.
[[nodiscard]] const Route *match(const Config &config, const Endpoint &server, std::string_view program);

/// Whether processes of these two users may share memory: always the same user, others as `access.allow` says.
[[nodiscard]] bool may_share(const Config &config, uid_t one, uid_t other);

/// Whether some route fails connections that cannot be upgraded.
[[nodiscard]] bool requires_upgrade(const Config &config);

}  // namespace sansock::config
