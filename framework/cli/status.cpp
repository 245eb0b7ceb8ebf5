// `sansock status`: the connections of this host, as ss(8) shows sockets.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "cli/columns.hpp"
#include "cli/complaint.hpp"
#include "cli/verbs.hpp"
#include "cli/which.hpp"
#include "control/client.hpp"

namespace sansock::cli {
namespace {

namespace wire = control::wire;
using Clock = std::chrono::steady_clock;

struct Options {
    std::string directory;
    std::vector<std::string> words;
    bool json = false;
    double watch_s = 0;
};

struct Sample {
    wire::Status status;
    Clock::time_point at;
};

/// What tells one end of a connection from all others, for as long as it lives.
std::string name_of(const wire::Connection &connection) {
    return fmt::format("{} {} {}", connection.pid, connection.local, connection.peer);
}

nlohmann::json json_of(const wire::Connection &c) {
    const auto or_null = [](const std::string &text) { return text.empty() ? nlohmann::json() : nlohmann::json(text); };
    return {{"pid", c.pid},
            {"program", c.program},
            {"role", c.role},
            {"local", or_null(c.local)},
            {"peer", or_null(c.peer)},
            {"provider", or_null(c.provider)},
            {"path", c.path},
            {"reason", or_null(c.reason)},
            {"detail", or_null(c.detail)},
            {"bytes_sent", {{"tcp", c.sent_tcp}, {"provider", c.sent_provider}}},
            {"bytes_received", {{"tcp", c.received_tcp}, {"provider", c.received_provider}}},
            {"upgrades", c.upgrades},
            {"step_backs", c.step_backs},
            {"window", c.window},
            {"kept", c.kept},
            {"buffers", {{"held", c.buffers_held}, {"max", c.buffers_max}}},
            {"state", c.state},
            {"holders", c.holders}};
}

nlohmann::json json_of(const wire::Process &p) {
    return {{"pid", p.pid},
            {"uid", p.uid},
            {"program", p.program},
            {"version", p.version},
            {"config", p.config.empty() ? nlohmann::json() : nlohmann::json(p.config)},
            {"connections", p.connections},
            {"on_provider", p.on_provider}};
}

void print_json(const wire::Status &status) {
    nlohmann::json all{{"version", status.version}, {"hidden_processes", status.hidden_processes}};
    all["processes"] = nlohmann::json::array();
    all["connections"] = nlohmann::json::array();
    for (const auto &process : status.processes) all["processes"].push_back(json_of(process));
    for (const auto &connection : status.connections) all["connections"].push_back(json_of(connection));
    fmt::print("{}\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::string or_dash(const std::string &text) { return text.empty() ? "-" : text; }

/// "3 connections of 2 processes: 2 on a provider, 1 on TCP (1 peer-silent)".
std::string summary(const wire::Status &status) {
    std::map<std::string, int> reasons;
    for (const auto &connection : status.connections) {
        if (!connection.reason.empty()) ++reasons[connection.reason];
    }
    std::string why;
    std::size_t on_tcp = 0;
    for (const auto &[reason, count] : reasons) {
        why += fmt::format("{}{} {}", why.empty() ? " (" : ", ", count, reason);
        on_tcp += static_cast<std::size_t>(count);
    }
    if (!why.empty()) why += ")";
    const auto all = status.connections.size();
    std::string line = fmt::format("{} connection{} of {} process{}: {} on a provider, {} on TCP{}\n", all, all == 1 ? "" : "s",
                                   status.processes.size(), status.processes.size() == 1 ? "" : "es", all - on_tcp, on_tcp, why);
    if (status.hidden_processes > 0) line += fmt::format("{} more of other users, whom you may not look at\n", status.hidden_processes);
    return line;
}

/// Rates need a sample before this one.
std::string table(const Sample &now, const std::optional<Sample> &before) {
    std::map<std::string, const wire::Connection *> known;
    if (before) {
        for (const auto &connection : before->status.connections) known[name_of(connection)] = &connection;
    }
    const double seconds = before ? std::chrono::duration<double>(now.at - before->at).count() : 0;
    const auto rate = [&](const wire::Connection &connection, auto total_of) -> std::string {
        const auto found = known.find(name_of(connection));
        if (found == known.end()) return "-";
        return bytes_for_people(std::max(0.0, static_cast<double>(total_of(connection) - total_of(*found->second)) / seconds)) + "/s";
    };
    const auto sent = [](const wire::Connection &c) { return c.sent_tcp + c.sent_provider; };
    const auto received = [](const wire::Connection &c) { return c.received_tcp + c.received_provider; };
    std::vector<Column> columns{{"PROGRAM"}, {"PID", true}, {"ROLE"}, {"LOCAL"}, {"PEER"}, {"PATH"}, {"SENT", true}, {"RECEIVED", true}};
    if (before) columns.insert(columns.end(), {{"SENDS", true}, {"RECEIVES", true}});
    columns.insert(columns.end(), {{"KEPT", true}, {"BUFFERS", true}, {"WHY ON TCP"}});
    std::vector<std::vector<std::string>> rows;
    for (const auto &c : now.status.connections) {
        std::vector<std::string> row{c.program,
                                     std::to_string(c.pid),
                                     c.role,
                                     or_dash(c.local),
                                     or_dash(c.peer),
                                     c.path,
                                     bytes_for_people(static_cast<double>(sent(c))),
                                     bytes_for_people(static_cast<double>(received(c)))};
        if (before) row.insert(row.end(), {rate(c, sent), rate(c, received)});
        const bool on_provider = c.window > 0;
        row.push_back(on_provider ? bytes_for_people(static_cast<double>(c.kept)) : "-");
        row.push_back(on_provider ? fmt::format("{}/{}", c.buffers_held, c.buffers_max) : "-");
        row.push_back(c.detail.empty() ? c.reason : fmt::format("{} ({})", c.reason, c.detail));
        rows.push_back(std::move(row));
    }
    return in_columns(columns, rows) + summary(now.status);
}

Result<Sample> sample(const Options &options) {
    Sample taken;
    const auto asked = control::ask(options.directory, [&](wire::ManagementClient &daemon) { daemon.status(taken.status); });
    if (!asked) return std::unexpected(asked.error());
    taken.at = Clock::now();
    std::erase_if(taken.status.connections, [&](const auto &connection) { return !matches(connection, options.words); });
    if (!options.words.empty()) {
        std::erase_if(taken.status.processes, [&](const auto &process) {
            return std::ranges::find(taken.status.connections, process.pid, &wire::Connection::pid) == taken.status.connections.end();
        });
    }
    std::ranges::sort(taken.status.connections, {},
                      [](const auto &c) { return std::tuple(c.program, c.pid, c.local.size(), c.local, c.peer.size(), c.peer); });
    return taken;
}

Status show(const Options &options) {
    std::optional<Sample> before;
    for (;;) {
        auto now = sample(options);
        if (!now) {
            fmt::print(stderr, "sansock: {}\n", now.error().text);
            return kFindings;
        }
        if (options.json) {
            print_json(now->status);
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
