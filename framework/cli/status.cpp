// `sansock status`: the connections of this host, as ss(8) shows sockets.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "cli/complaint.hpp"
#include "cli/sampled.hpp"
#include "cli/verbs.hpp"
#include "cli/which.hpp"
#include "control/status_json.hpp"
#include "pki/certificate.hpp"

namespace sansock::cli {
namespace {

struct Options {
    std::string directory;
    std::vector<std::string> words;
    bool json = false;
    double watch_s = 0;
};

std::string table(const Sample &now, const std::optional<Sample> &before) {
    const Rated rated(now, before);
    std::vector<std::vector<std::string>> rows;
    for (const auto &connection : now.status.connections)
        rows.push_back(cells_of(connection, before ? std::optional(rated.of(connection)) : std::nullopt));
    std::string text = in_columns(columns_of_connections(before.has_value()), rows) + summary(now.status) + "\n";
    if (now.status.hidden_processes > 0)
        text += fmt::format("{} more of other users, whom you may not look at\n", now.status.hidden_processes);
    if (now.status.__isset.hosts) {
        const auto &hosts = now.status.hosts;
        text += fmt::format(
            "other hosts meet {} at {}: {} connection{} registered, {} host{} asked, {} unreachable; certificate valid until {}\n",
            hosts.name, hosts.where, hosts.connections, hosts.connections == 1 ? "" : "s", hosts.asked, hosts.asked == 1 ? "" : "s",
            hosts.unreachable, pki::text_of_time(hosts.valid_until));
    }
    return text;
}

Status show(const Options &options) {
    std::optional<Sample> before;
    for (;;) {
        auto now = take_sample(options.directory, options.words);
        if (!now) {
            fmt::print(stderr, "sansock: {}\n", now.error().text);
            return kFindings;
        }
        if (options.json) {
            fmt::print("{}\n", control::status_json(now->status));
        } else {
            if (options.watch_s > 0 && isatty(STDOUT_FILENO) != 0) fmt::print("\x1b[H\x1b[2J");
            fmt::print("{}", table(*now, before));
        }
        if (options.watch_s <= 0) return kOk;
        std::fflush(stdout);
        before = std::move(*now);
        std::this_thread::sleep_for(std::chrono::duration<double>(options.watch_s));
    }
}

}  // namespace

void add_status(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("status", "Show the connections of this host, by way of sansockd");
    auto options = std::make_shared<Options>();
    add_which(*verb, options->words);
    verb->add_flag("--json", options->json, "As JSON, with the names of reports");
    verb->add_option("--watch", options->watch_s, "Again and again, with rates, so many seconds apart (1 without a number)")
        ->expected(0, 1)
        ->default_str("1")
        ->check(CLI::Range(0.1, 3600.0));
    verb->add_option("--directory", options->directory, "Where the daemon's sockets are")->envname("SANSOCK_CONTROL")->check(names_file());
    verb->callback([options, &invocation] { invocation.status = show(*options); });
}

}  // namespace sansock::cli
