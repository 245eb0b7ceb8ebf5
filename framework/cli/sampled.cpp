#include "cli/sampled.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "cli/which.hpp"

namespace sansock::cli {
namespace {

namespace wire = control::wire;

std::string name_of(const wire::Connection &connection) {
    return fmt::format("{} {} {}", connection.pid, connection.local, connection.peer);
}

int64_t sent(const wire::Connection &connection) { return connection.sent_tcp + connection.sent_provider; }
int64_t received(const wire::Connection &connection) { return connection.received_tcp + connection.received_provider; }

std::string or_dash(const std::string &text) { return text.empty() ? "-" : text; }
std::string or_dash(const std::optional<double> &rate) { return rate ? bytes_for_people(*rate) + "/s" : "-"; }

}  // namespace

Result<Sample> take_sample(const std::string &directory, const std::vector<std::string> &words) {
    Sample taken;
    const auto asked = control::ask(directory, [&](wire::ManagementClient &daemon) { daemon.status(taken.status); });
    if (!asked) return std::unexpected(asked.error());
    taken.at = std::chrono::steady_clock::now();
    std::erase_if(taken.status.connections, [&](const auto &connection) { return !matches(connection, words); });
    if (!words.empty()) {
        std::erase_if(taken.status.processes, [&](const auto &process) {
            return std::ranges::find(taken.status.connections, process.pid, &wire::Connection::pid) == taken.status.connections.end();
        });
    }
    std::ranges::sort(taken.status.connections, {},
                      [](const auto &c) { return std::tuple(c.program, c.pid, c.local.size(), c.local, c.peer.size(), c.peer); });
    return taken;
}

Rated::Rated(const Sample &now, const std::optional<Sample> &before)
    : seconds_(before ? std::chrono::duration<double>(now.at - before->at).count() : 0) {
    if (!before) return;
    for (const auto &connection : before->status.connections) {
        sent_[name_of(connection)] = sent(connection);
        received_[name_of(connection)] = received(connection);
    }
}

Rates Rated::of(const wire::Connection &connection) const {
    const auto rate = [&](const std::map<std::string, int64_t> &before, int64_t total) -> std::optional<double> {
        const auto found = before.find(name_of(connection));
        if (found == before.end() || seconds_ <= 0 || connection.local.empty()) return std::nullopt;  // without an address it may be any
        return std::max(0.0, static_cast<double>(total - found->second) / seconds_);
    };
    return {rate(sent_, sent(connection)), rate(received_, received(connection))};
}

std::vector<Column> columns_of_connections(bool rates) {
    std::vector<Column> columns{{"PROGRAM"}, {"PID", true}, {"ROLE"}, {"LOCAL"}, {"PEER"}, {"PATH"}, {"SENT", true}, {"RECEIVED", true}};
    if (rates) columns.insert(columns.end(), {{"SENDS", true}, {"RECEIVES", true}});
    columns.insert(columns.end(), {{"KEPT", true}, {"BUFFERS", true}, {"FULL", true}, {"WHY ON TCP"}});
    return columns;
}

std::vector<std::string> cells_of(const wire::Connection &c, const std::optional<Rates> &rates) {
    std::vector<std::string> row{c.program,
                                 std::to_string(c.pid),
                                 c.role,
                                 or_dash(c.local),
                                 or_dash(c.peer),
                                 c.path,
                                 bytes_for_people(static_cast<double>(sent(c))),
                                 bytes_for_people(static_cast<double>(received(c)))};
    if (rates) row.insert(row.end(), {or_dash(rates->sends), or_dash(rates->receives)});
    const bool on_provider = c.window > 0;
    row.push_back(on_provider ? bytes_for_people(static_cast<double>(c.kept)) : "-");
    row.push_back(on_provider ? fmt::format("{}/{}", c.buffers_held, c.buffers_max) : "-");
    row.push_back(c.upgrades > 0 ? std::to_string(c.full) : "-");
    row.push_back(c.detail.empty() ? c.reason : fmt::format("{} ({})", c.reason, c.detail));
    return row;
}

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
    return fmt::format("{} connection{} of {} process{}: {} on a provider, {} on TCP{}", all, all == 1 ? "" : "s", status.processes.size(),
                       status.processes.size() == 1 ? "" : "es", all - on_tcp, on_tcp, why);
}

}  // namespace sansock::cli
