// Every setting, once.
#include <type_traits>

#include "config/setting.hpp"

namespace sansock::config {
namespace {

using std::string_view;
using namespace std::chrono_literals;

constexpr std::uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
constexpr std::uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
constexpr std::uint64_t operator""_GiB(unsigned long long n) { return n << 30; }
constexpr std::uint64_t operator""_TiB(unsigned long long n) { return n << 40; }

constexpr std::uint64_t ns(std::chrono::nanoseconds time) { return static_cast<std::uint64_t>(time.count()); }

// In the order of the enums that they are stored in.
constexpr string_view kPolicies[] = {"prefer", "require", "forbid"};
constexpr string_view kWaitPolicies[] = {"adaptive", "spin", "park"};
constexpr string_view kLogLevels[] = {"error", "warning", "info", "debug"};

Config &owner(const Target &target, const Config *) { return *target.config; }
Provider &owner(const Target &target, const Provider *) { return *target.provider; }
Route &owner(const Target &target, const Route *) { return *target.route; }

template <class T>
void assign(T &field, Value &&value) {
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
        field = static_cast<T>(std::get<std::uint64_t>(value));
    } else {
        field = std::get<T>(std::move(value));
    }
}

template <class T>
void assign(std::vector<T> &field, Value &&value) {
    field.push_back(std::get<T>(std::move(value)));
}

template <class Owner, class T>
Owner *owner_of(T Owner::*);

/// Stores into a member of the configuration, or of the provider or route being read, or into a member of that.
template <auto Member, auto... Inner>
void put(Target &target, Value value) {
    auto &outer = owner(target, decltype(owner_of(Member)){}).*Member;
    assign((outer.*....*Inner), std::move(value));
}

constexpr Setting kSettings[] = {
    {.scope = "",
     .name = "providers",
     .kind = Kind::guid_map,
     .shipped = "41f96c03-1cad-4222-9c2b-682b71c6a8f0",
     .summary = "The providers that connections can move to, one block per GUID.",
     .detail = "The GUID names the provider to routes and to the peer: both ends of a connection must know it. It is "
               "written with or without braces (with them, in quotes) and in any case. A file without `providers` has "
               "the block that the default file shows. A block whose plugin is not installed is kept and reported."},
    {.scope = "providers.GUID",
     .name = "plugin",
     .kind = Kind::plugin_name,
     .required = true,
     .shipped = "simulated",
     .summary = "Name of the plugin that drives the provider.",
     .detail = "`sansock providers` lists the installed plugins. `simulated` is shared memory inside one host.",
     .store = put<&Provider::plugin>},
    {.scope = "providers.GUID",
     .name = "send_buffers",
     .kind = Kind::integer,
     .min = 5,
     .max = 255,
     .fallback = "5",
     .summary = "Buffers that one connection may have on their way to the peer.",
     .detail = "More buffers keep a fast or distant path busy and cost memory. This is the SendBuffers value of "
               "Winsock Direct (KB924286), with its range and default.",
     .store = put<&Provider::send_buffers>},
    {.scope = "providers.GUID",
     .name = "receive_buffers",
     .kind = Kind::integer,
     .min = 6,
     .max = 255,
     .fallback = "6",
     .summary = "Buffers that one connection keeps ready for what the peer sends.",
     .detail = "One more than send_buffers leaves room for a credit update beside a full window. This is the "
               "ReceiveBuffers value of Winsock Direct (KB924286), with its range and default.",
     .store = put<&Provider::receive_buffers>},
    {.scope = "providers.GUID",
     .name = "buffer_size",
     .kind = Kind::size,
     .min = 4_KiB,
     .max = 1_MiB,
     .power_of_two = true,
     .fallback = "64 KiB",
     .summary = "Size of one buffer.",
     .store = put<&Provider::buffer_size>},
    {.scope = "providers.GUID",
     .name = "max_memory",
     .kind = Kind::size,
     .min = 1_MiB,
     .max = 1_TiB,
     .fallback = "256 MiB",
     .summary = "Memory that all buffers of this provider may take in one process.",
     .detail = "Connections borrow buffers while they have data under way. One that finds no memory stays on TCP.",
     .store = put<&Provider::max_memory>},
    {.scope = "providers.GUID",
     .name = "rdma_threshold",
     .kind = Kind::size,
     .min = 0,
     .max = 1_GiB,
     .fallback = "0",
     .summary = "For plugins with RDMA reads or writes: larger sends avoid the copy; 0 leaves it to the plugin.",
     .detail = "Handed to the plugin, which alone uses it. None of the plugins that come with sansock has RDMA reads or "
               "writes; `sansock check` notes where it has no effect.",
     .store = put<&Provider::rdma_threshold>},
    {.scope = "providers.GUID",
     .name = "options",
     .kind = Kind::block,
     .example = "{}",
     .summary = "Settings of the plugin's own, handed to it as they stand.",
     .detail = "The plugin's documentation says which there are; sansock does not look inside."},
    {.scope = "providers.GUID",
     .name = "simulation",
     .kind = Kind::block,
     .example = "{}",
     .summary = "A modelled network (latency, bandwidth, faults), for plugins that can simulate one.",
     .detail = "For testing an application against a bad network; handed to the plugin as it stands."},

    {.scope = "",
     .name = "upgrade_after",
     .kind = Kind::group,
     .summary = "How much a connection moves over TCP before it is worth moving to a provider.",
     .detail = "Whichever comes first at this end makes a connection a candidate, once the other direction has moved "
               "data too. Connections that end earlier never pay for the set-up."},
    {.scope = "upgrade_after",
     .name = "calls",
     .kind = Kind::integer,
     .max = 1'000'000,
     .fallback = "4",
     .summary = "Data calls (read, send, ...) of this end; 0 means at the first chance.",
     .store = put<&Config::upgrade_after, &UpgradeAfter::calls>},
    {.scope = "upgrade_after",
     .name = "bytes",
     .kind = Kind::size,
     .max = 1_TiB,
     .fallback = "64 KiB",
     .summary = "Bytes that this end has sent and received; 0 means at the first chance.",
     .store = put<&Config::upgrade_after, &UpgradeAfter::bytes>},

    {.scope = "",
     .name = "routes",
     .kind = Kind::sequence,
     .summary = "Which connections move to which providers. The first route that matches decides.",
     .detail = "A route matches when all of destination, port and program do; what a route leaves out matches "
               "everything. A connection that no route matches stays on TCP. A file without `routes` prefers all its "
               "providers, in the file's order, for every connection."},
    {.scope = "routes[]",
     .name = "providers",
     .kind = Kind::guids,
     .shipped = "[41f96c03-1cad-4222-9c2b-682b71c6a8f0]",
     .summary = "Providers in order of preference, by their GUIDs.",
     .detail = "Each has a block under `providers`. Needed unless the policy is forbid.",
     .store = put<&Route::providers>},
    {.scope = "routes[]",
     .name = "policy",
     .kind = Kind::choice,
     .choices = kPolicies,
     .fallback = "prefer",
     .summary = "prefer: use a provider if possible; require: or fail the connection; forbid: stay on TCP.",
     .detail = "With require a connection is upgraded before its first byte or fails with a reason; no byte of its "
               "data ever goes over TCP.",
     .store = put<&Route::policy>},
    {.scope = "routes[]",
     .name = "destination",
     .kind = Kind::subnets,
     .example = "[127.0.0.0/8, \"::1\"]",
     .summary = "Subnets or addresses of the server side, IPv4 or IPv6.",
     .detail = "The server side is the remote address of a connection that this process makes and the local address "
               "of one that it accepts, so one route means the same at both ends. IPv4 addresses match IPv4 subnets, "
               "also on an IPv6 socket.",
     .store = put<&Route::destinations>},
    {.scope = "routes[]",
     .name = "port",
     .kind = Kind::ports,
     .example = "[6379, 7000-7999]",
     .summary = "Ports of the server side, single or as ranges.",
     .store = put<&Route::ports>},
    {.scope = "routes[]",
     .name = "program",
     .kind = Kind::programs,
     .example = "[redis-server, redis-benchmark]",
     .summary = "File names of programs, without directories.",
     .detail = "The name is that of the executable at this end of the connection; a script has its interpreter's.",
     .store = put<&Route::programs>},
    {.scope = "routes[]",
     .name = "upgrade_after",
     .kind = Kind::group,
     .summary = "Other values for this route than the file's upgrade_after."},
    {.scope = "routes[].upgrade_after",
     .name = "calls",
     .kind = Kind::integer,
     .max = 1'000'000,
     .example = "0",
     .summary = "As upgrade_after.calls.",
     .store = put<&Route::upgrade_after, &UpgradeAfter::calls>},
    {.scope = "routes[].upgrade_after",
     .name = "bytes",
     .kind = Kind::size,
     .max = 1_TiB,
     .example = "0",
     .summary = "As upgrade_after.bytes.",
     .store = put<&Route::upgrade_after, &UpgradeAfter::bytes>},

    {.scope = "", .name = "access", .kind = Kind::group, .summary = "Who may share memory with whom, besides a user with itself."},
    {.scope = "access",
     .name = "allow",
     .kind = Kind::user_groups,
     .example = "[[redis, www-data], [postgres, 1000]]",
     .summary = "Groups of users, by name or uid; everyone in a group may share memory with everyone else in it.",
     .detail = "Both ends of a connection have to allow it. Connections between other users stay on TCP. A user may "
               "be in several groups; that does not join the groups. A name that this host does not know matches "
               "nobody.",
     .store = put<&Config::access, &Access::allow>},

    {.scope = "", .name = "waiting", .kind = Kind::group, .summary = "What a thread does that waits for data."},
    {.scope = "waiting",
     .name = "policy",
     .kind = Kind::choice,
     .choices = kWaitPolicies,
     .fallback = "adaptive",
     .summary = "adaptive: spin where it has paid, then sleep; spin: always spin first; park: sleep at once.",
     .store = put<&Config::waiting, &Waiting::policy>},
    {.scope = "waiting",
     .name = "spin",
     .kind = Kind::duration,
     .max = ns(1ms),
     .fallback = "100us",
     .summary = "Longest time to spin before a thread sleeps.",
     .store = put<&Config::waiting, &Waiting::spin_max>},

    {.scope = "", .name = "timeouts", .kind = Kind::group, .summary = "How long to wait for a peer."},
    {.scope = "timeouts",
     .name = "step",
     .kind = Kind::duration,
     .min = ns(100ms),
     .max = ns(1min),
     .fallback = "5s",
     .summary = "For its answer when a connection steps back to TCP.",
     .store = put<&Config::timeouts, &Timeouts::step>},
    {.scope = "timeouts",
     .name = "rendezvous",
     .kind = Kind::duration,
     .min = ns(10ms),
     .max = ns(1min),
     .fallback = "1s",
     .summary = "For it to appear when a connection is to be upgraded; after that it stays on TCP.",
     .store = put<&Config::timeouts, &Timeouts::rendezvous>},
    {.scope = "timeouts",
     .name = "require",
     .kind = Kind::duration,
     .min = ns(10ms),
     .max = ns(1min),
     .fallback = "1s",
     .summary = "For the upgrade of a connection whose route requires one; after that it fails.",
     .store = put<&Config::timeouts, &Timeouts::require>},
    {.scope = "timeouts",
     .name = "path",
     .kind = Kind::duration,
     .min = ns(100ms),
     .max = ns(10min),
     .fallback = "30s",
     .summary = "For an answer over a provider that carries messages; after that the connection steps back to TCP.",
     .store = put<&Config::timeouts, &Timeouts::path>},
    {.scope = "timeouts",
     .name = "return",
     .kind = Kind::duration,
     .min = ns(10ms),
     .max = ns(10min),
     .fallback = "5s",
     .summary = "For a provider that has failed, before its connections try it again; doubled with each failure, up to 64 times as long.",
     .store = put<&Config::timeouts, &Timeouts::return_after>},

    {.scope = "", .name = "logging", .kind = Kind::group, .summary = "What sansock says inside the programs that it runs in."},
    {.scope = "logging",
     .name = "level",
     .kind = Kind::choice,
     .choices = kLogLevels,
     .fallback = "warning",
     .summary = "The least important messages that are written.",
     .store = put<&Config::logging, &Logging::level>},
    {.scope = "logging",
     .name = "target",
     .kind = Kind::log_target,
     .fallback = "stderr",
     .summary = "stderr, or the absolute path of a file that messages are appended to.",
     .store = put<&Config::logging, &Logging::file>},
};

}  // namespace

std::span<const Setting> settings() { return kSettings; }

std::vector<const Setting *> settings_in(std::string_view scope) {
    std::vector<const Setting *> found;
    for (const Setting &setting : kSettings)
        if (setting.scope == scope) found.push_back(&setting);
    return found;
}

std::vector<std::string_view> names_in(std::string_view scope) {
    std::vector<std::string_view> names;
    for (const Setting *setting : settings_in(scope)) names.push_back(setting->name);
    return names;
}

std::string Setting::child_scope() const {
    switch (kind) {
        case Kind::group: return path();
        case Kind::guid_map: return path() + ".GUID";
        case Kind::sequence: return path() + "[]";
        default: return {};
    }
}

}  // namespace sansock::config
