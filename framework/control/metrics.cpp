#include "control/metrics.hpp"

#include <pwd.h>

#include <array>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "control/connections.hpp"
#include "control/counters.hpp"
#include "control/exposition.hpp"
#include "control/rendezvous.hpp"

namespace sansock::control {
namespace {

constexpr std::array<std::string_view, socket::kBoardSizes - 1> kSizeBounds{"64.0",    "256.0",   "1024.0",   "4096.0",
                                                                            "16384.0", "65536.0", "262144.0", "1.048576e+06"};
constexpr std::array<std::string_view, socket::kBoardSleeps - 1> kSleepBounds{"1e-05", "0.0001", "0.001", "0.01", "0.1", "1.0", "10.0"};

/// Names of users, each looked up once.
class Users {
public:
    const std::string &name(uid_t uid) {
        const auto [found, is_new] = names_.try_emplace(uid);
        if (is_new) {
            passwd entry{}, *known = nullptr;
            std::vector<char> buffer(16384);
            const bool is_known = getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &known) == 0 && known != nullptr;
            found->second = is_known ? known->pw_name : std::to_string(uid);
        }
        return found->second;
    }

private:
    std::map<uid_t, std::string> names_;
};

void tell_counters(Exposition &to, const CountsOfUsers &counts, Users &users) {
    to.family("sansock_connections_made", "counter", "", "Connections that have been made, of those that ended young when they ended.");
    for (const auto &[uid, of] : counts) to.sample("_total", {{"user", users.name(uid)}}, of.connections);

    const auto by_path = [&](auto of_tcp, auto of_provider) {
        for (const auto &[uid, of] : counts) {
            to.sample("_total", {{"user", users.name(uid)}, {"path", "tcp"}, {"provider", ""}}, of.*of_tcp);
            for (const auto &[guid, provider] : of.providers)
                to.sample("_total", {{"user", users.name(uid)}, {"path", provider.plugin}, {"provider", guid}}, provider.*of_provider);
        }
    };
    to.family("sansock_sent_bytes", "counter", "bytes", "Bytes that applications sent, by what carried them.");
    by_path(&Counts::sent, &ProviderCounts::sent);
    to.family("sansock_received_bytes", "counter", "bytes", "Bytes that applications received, by what carried them.");
    by_path(&Counts::received, &ProviderCounts::received);

    const auto by_provider = [&](const char *name, const char *help, auto member) {
        to.family(name, "counter", "", help);
        for (const auto &[uid, of] : counts) {
            for (const auto &[guid, provider] : of.providers)
                to.sample("_total", {{"user", users.name(uid)}, {"path", provider.plugin}, {"provider", guid}}, provider.*member);
        }
    };
    by_provider("sansock_upgrades", "Times that connections left TCP for the provider.", &ProviderCounts::upgrades);
    by_provider("sansock_step_backs", "Times that connections went back to TCP.", &ProviderCounts::step_backs);
    by_provider("sansock_sends_without_room", "Calls that found no room for all that they sent, for the peer had yet to read.",
                &ProviderCounts::full);

    to.family("sansock_message_size_bytes", "histogram", "bytes", "Bytes that calls sent by the provider, or wanted to, each.");
    for (const auto &[uid, of] : counts) {
        for (const auto &[guid, provider] : of.providers)
            to.histogram({{"user", users.name(uid)}, {"path", provider.plugin}, {"provider", guid}}, kSizeBounds, provider.sizes,
                         static_cast<double>(provider.sent));
    }
    to.family("sansock_sleep_seconds", "histogram", "seconds",
              "How long threads slept until something happened on connections of a provider.");
    for (const auto &[uid, of] : counts)
        to.histogram({{"user", users.name(uid)}}, kSleepBounds, of.sleeps, static_cast<double>(of.slept_ns) / 1e9);
}

struct Buffers {
    int64_t held = 0, allowed = 0, kept = 0, window = 0;
};

/// What connections are told apart by. A user has no more than so many of them, and the rest is one.
class Groups {
public:
    using Key = std::tuple<uid_t, std::string, std::string, std::string>;
    Key of(const wire::Connection &c, const std::string &last) {
        const auto uid = static_cast<uid_t>(c.uid);
        const Key key{uid, c.program, c.path, last};
        if (known_.contains(key)) return key;
        if (++count_[uid] > kGroupsMax) return {uid, "other", "", ""};
        known_.insert(key);
        return key;
    }

private:
    static constexpr size_t kGroupsMax = 256;
    std::set<Key> known_;
    std::map<uid_t, size_t> count_;
};

void tell_connections(Exposition &to, const wire::Status &status, Users &users) {
    std::map<uid_t, uint64_t> processes;
    for (const auto &process : status.processes) ++processes[static_cast<uid_t>(process.uid)];
    Groups by_reason, by_provider;
    std::map<Groups::Key, uint64_t> connections;
    std::map<Groups::Key, Buffers> buffers;
    for (const auto &c : status.connections) {
        ++connections[by_reason.of(c, c.reason)];
        if (c.window <= 0) continue;
        Buffers &of = buffers[by_provider.of(c, c.provider)];
        of.held += c.buffers_held;
        of.allowed += c.buffers_max;
        of.kept += c.kept;
        of.window += c.window;
    }
    to.family("sansock_processes", "gauge", "", "Processes that have shown themselves.");
    for (const auto &[uid, count] : processes) to.sample("", {{"user", users.name(uid)}}, count);
    to.family("sansock_connections", "gauge", "", "Ends of connections, by what carries them and, on TCP, why.");
    for (const auto &[key, count] : connections) {
        const auto &[uid, program, path, reason] = key;
        to.sample("", {{"user", users.name(uid)}, {"program", program}, {"path", path}, {"reason", reason}}, count);
    }
    const auto tell_buffers = [&](const char *name, const char *unit, const char *help, int64_t Buffers::*member) {
        to.family(name, "gauge", unit, help);
        for (const auto &[key, of] : buffers) {
            const auto &[uid, program, path, provider] = key;
            to.sample("", {{"user", users.name(uid)}, {"program", program}, {"path", path}, {"provider", provider}},
                      static_cast<double>(of.*member));
        }
    };
    tell_buffers("sansock_buffers_held", "", "Send buffers that hold bytes which the peer has yet to read.", &Buffers::held);
    tell_buffers("sansock_buffers_allowed", "", "Send buffers that these connections may hold.", &Buffers::allowed);
    tell_buffers("sansock_kept_bytes", "bytes", "Bytes that the peer has yet to read.", &Buffers::kept);
    tell_buffers("sansock_window_bytes", "bytes", "Bytes that may be kept.", &Buffers::window);
}

}  // namespace

std::string metrics(Agents &agents) {
    Exposition exposition;
    Users users;
    exposition.family("sansock_build", "info", "", "The daemon's version.");
    exposition.sample("_info", {{"version", SANSOCK_VERSION}}, uint64_t{1});
    tell_counters(exposition, agents.counts(), users);
    wire::Status status;
    read_status(agents, 0, true, status);
    tell_connections(exposition, status, users);
    if (agents.rendezvous() != nullptr) agents.rendezvous()->tell(exposition);
    return std::move(exposition).finish();
}

}  // namespace sansock::control
