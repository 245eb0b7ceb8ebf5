// `sansock explain`: why a connection is where it is, and what would change that.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>

#include "cli/advice.hpp"
#include "cli/columns.hpp"
#include "cli/complaint.hpp"
#include "cli/verbs.hpp"
#include "cli/which.hpp"
#include "config/load.hpp"
#include "control/client.hpp"

namespace sansock::cli {
namespace {

namespace wire = control::wire;

struct Options {
    std::string directory;
    std::vector<std::string> words;
};

/// An address as the status has it.
std::optional<config::Endpoint> endpoint_of(const std::string &text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) return {};
    const bool six = text.starts_with('[');
    const std::string host = six ? text.substr(1, colon - 2) : text.substr(0, colon);
    const auto port = htons(static_cast<std::uint16_t>(std::strtoul(text.c_str() + colon + 1, nullptr, 10)));
    sockaddr_in v4{.sin_family = AF_INET, .sin_port = port};
    sockaddr_in6 v6{.sin6_family = AF_INET6, .sin6_port = port};
    if (inet_pton(six ? AF_INET6 : AF_INET, host.c_str(), six ? static_cast<void *>(&v6.sin6_addr) : &v4.sin_addr) != 1) return {};
    return six ? config::Endpoint::from(reinterpret_cast<const sockaddr *>(&v6), sizeof v6)
               : config::Endpoint::from(reinterpret_cast<const sockaddr *>(&v4), sizeof v4);
}

/// The configurations that processes have, each read once.
class Configurations {
public:
    /// nullptr: it cannot be read here.
    const config::Config *find(const std::string &file) {
        auto [found, is_new] = known_.try_emplace(file);
        if (is_new && file.empty()) found->second = config::embedded_default();
        if (is_new && !file.empty()) {
            if (auto loaded = config::load_file(file); loaded.config) found->second = std::move(*loaded.config);
        }
        return found->second ? &*found->second : nullptr;
    }

private:
    std::map<std::string, std::optional<config::Config>> known_;
};

const char *name_of(config::Policy policy) {
    switch (policy) {
        case config::Policy::prefer: return "prefer";
        case config::Policy::require: return "require";
        case config::Policy::forbid: return "forbid";
    }
    return "";
}

/// Which route speaks about the connection, in its process's configuration as the file is now.
std::string route_of(const wire::Connection &connection, const std::string &file, Configurations &configurations) {
    const config::Config *config = configurations.find(file);
    if (config == nullptr) return fmt::format("unknown: {} cannot be read here", file);
    const auto server = endpoint_of(connection.role == "connect" ? connection.peer : connection.local);
    if (!server) return "unknown: the process has not looked up the connection's addresses yet";
    const config::Route *route = config::match(*config, *server, connection.program);
    const std::string where = file.empty() ? "the embedded default" : file;
    if (route == nullptr) return fmt::format("none of {} matches", where);
    std::vector<std::string> providers;
    for (const config::Guid &guid : route->providers) {
        const config::Provider *block = config->find(guid);
        providers.push_back(fmt::format("{} ({})", guid.text(), block == nullptr ? "no block" : block->plugin));
    }
    const auto number = route - config->routes.data() + 1;
    const std::string place =
        file.empty() || route->position == config::Position{} ? where : fmt::format("{}:{}", where, route->position.line);
    return fmt::format("number {} of {}, {}: {} {}", number, config->routes.size(), place, name_of(route->policy),
                       fmt::join(providers, ", then "));
}

std::string where_of(const wire::Connection &c) {
    const auto sent = static_cast<double>(c.sent_tcp + c.sent_provider),
               received = static_cast<double>(c.received_tcp + c.received_provider);
    const double all = sent + received, provider = static_cast<double>(c.sent_provider + c.received_provider);
    const std::string bytes = fmt::format("{} sent, {} received, {:.1f} % of it over a provider", bytes_for_people(sent),
                                          bytes_for_people(received), all > 0 ? 100 * provider / all : 0.0);
    return c.reason.empty() ? fmt::format("{} ({}); {}", c.path, c.provider, bytes) : fmt::format("TCP; {}", bytes);
}

/// Everything that is said of a connection but what is its own: those of which the same is said are said it once.
std::string explanation_of(const wire::Connection &c, const std::string &route) {
    std::string text = fmt::format("  route    {}\n", route);
    const auto found = std::ranges::find(advice(), std::string_view(c.reason), &Advice::reason);
    if (!c.reason.empty())
        text +=
            fmt::format("  why      {}: {}\n", c.reason, found == advice().end() ? "this version does not know the reason" : found->cause);
    if (!c.detail.empty()) text += fmt::format("  detail   {}\n", c.detail);
    if (!c.reason.empty() && found != advice().end() && !found->remedy.empty()) text += fmt::format("  change   {}\n", found->remedy);
    if (c.reason.empty() && c.buffers_max > 0 && c.buffers_held >= c.buffers_max) {
        text += fmt::format(
            "  note     all of its {} send buffers hold bytes that the peer has not read: it reads more slowly than this end writes, or "
            "send_buffers is low\n",
            c.buffers_max);
    }
    return text;
}

Status explain(const Options &options) {
    wire::Status status;
    const auto asked = control::ask(options.directory, [&](wire::ManagementClient &daemon) { daemon.status(status); });
    if (!asked) {
        fmt::print(stderr, "sansock: {}\n", asked.error().text);
        return kFindings;
    }
    std::map<std::int32_t, std::string> files;
    for (const auto &process : status.processes) files[process.pid] = process.config;
    Configurations configurations;
    std::map<std::string, std::vector<const wire::Connection *>> groups;
    for (const auto &connection : status.connections) {
        if (!matches(connection, options.words)) continue;
        groups[connection.program + '\n' + explanation_of(connection, route_of(connection, files[connection.pid], configurations))]
            .push_back(&connection);
    }
    if (groups.empty()) {
        fmt::print(stderr,
                   "sansock: sansockd knows no such connection; a process shows its connections once one of them was worth a look\n");
        return kFindings;
    }
    constexpr std::size_t kShown = 3;
    for (const auto &[text, connections] : groups) {
        for (std::size_t i = 0; i < std::min(kShown, connections.size()); ++i) {
            const wire::Connection &c = *connections[i];
            fmt::print("{} (pid {}) {} {} {} {}\n  on       {}\n", c.program, c.pid, c.role == "connect" ? "connected from" : "accepted at",
                       c.local, c.role == "connect" ? "to" : "from", c.peer, where_of(c));
        }
        if (connections.size() > kShown) fmt::print("and {} more, of which the same is to be said\n", connections.size() - kShown);
        fmt::print("{}\n", text.substr(text.find('\n') + 1));
    }
    return kOk;
}

}  // namespace

void add_explain(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("explain", "Say why connections are on TCP or on a provider, and what would change that");
    auto options = std::make_shared<Options>();
    add_which(*verb, options->words)->required();
    verb->add_option("--directory", options->directory, "Where the daemon's sockets are")->envname("SANSOCK_CONTROL")->check(names_file());
    verb->callback([options, &invocation] { invocation.status = explain(*options); });
}

}  // namespace sansock::cli
