#include "control/connections.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include "control/names.hpp"
#include "control/rendezvous.hpp"

namespace sansock::control {
namespace {

class Reader final : public Agents::Visitor {
public:
    Reader(uid_t caller, bool sees_all, wire::Status &status) : caller_(caller), sees_all_(sees_all), status_(status) {}

    void process(const Agent &agent) override {
        if (!may_see(agent)) {
            ++status_.hidden_processes;
            return;
        }
        wire::Process process;
        process.pid = agent.who.pid;
        process.uid = static_cast<int32_t>(agent.who.uid);
        process.program = agent.program;
        process.config = agent.config;
        indexes_[&agent] = status_.processes.size();
        status_.processes.push_back(std::move(process));
    }

    [[nodiscard]] bool wants(const Agent &agent) const override { return may_see(agent); }

    void connection(const std::vector<const Agent *> &holders, const Agent &family, const BoardView &board, uint32_t index) override {
        const Agent &agent = holders.empty() ? family : *holders.front();
        if (!may_see(agent)) return;
        wire::Connection connection;
        connection.pid = agent.who.pid;
        connection.uid = static_cast<int32_t>(agent.who.uid);
        connection.program = agent.program;
        connection.holders = static_cast<int32_t>(holders.size());
        read(board, index, connection);
        if (connection.role.empty()) return;
        for (const Agent *holder : holders.empty() ? std::vector{&family} : holders) {
            const auto found = indexes_.find(holder);  // a family may have processes of several users
            if (found == indexes_.end()) continue;
            wire::Process &process = status_.processes[found->second];
            process.version = board.version();
            ++process.connections;
            process.on_provider += connection.reason.empty() ? 1 : 0;
        }
        status_.connections.push_back(std::move(connection));
    }

private:
    [[nodiscard]] bool may_see(const Agent &agent) const { return sees_all_ || agent.who.uid == caller_; }

    static void read(const BoardView &board, uint32_t index, wire::Connection &to) {
        constexpr uint64_t kConnect = 0, kAccept = 1, kLingering = 7;  // socket::Role, socket::Phase
        const auto number = [&](std::string_view field) { return board.connections.number(index, field); };
        const uint64_t role = number("role");
        if (role > kAccept) return;  // not connected yet, or a listener
        to.role = role == kConnect ? "connect" : "accept";
        to.local = board.connections.address(index, "local");
        to.peer = board.connections.address(index, "remote");
        to.state = number("phase") == kLingering ? "closing" : "open";
        const auto sent = number("sent"), received = number("received");
        const auto sent_provider = std::min(sent, number("sent_provider")),
                   received_provider = std::min(received, number("received_provider"));
        to.sent_provider = static_cast<int64_t>(sent_provider);
        to.sent_tcp = static_cast<int64_t>(sent - sent_provider);
        to.received_provider = static_cast<int64_t>(received_provider);
        to.received_tcp = static_cast<int64_t>(received - received_provider);
        to.full = static_cast<int64_t>(number("full"));
        to.upgrades = static_cast<int32_t>(number("upgrades"));
        to.step_backs = static_cast<int32_t>(number("step_backs"));
        to.reason = board.reason(number("reason"));
        if (to.upgrades == 0 && to.reason.empty()) to.reason = "not-yet";
        to.path = to.reason.empty() ? plugin_name(board.connections.text(index, "plugin")) : "tcp";
        if (to.upgrades > 0) to.provider = guid_name(board.connections.text(index, "guid"));
        if (!to.reason.empty()) to.detail = board.connections.text(index, "detail");
        if (number("path_out") == 1) {
            to.window = static_cast<int64_t>(number("window"));
            to.kept = static_cast<int64_t>(sent - std::min(sent, number("consumed")));
            to.buffers_held = static_cast<int32_t>(number("buffers_held"));
            to.buffers_max = static_cast<int32_t>(number("buffers_max"));
        }
    }

    const uid_t caller_;
    const bool sees_all_;
    wire::Status &status_;
    std::map<const Agent *, size_t> indexes_;
};

}  // namespace

void read_status(Agents &agents, uid_t caller, bool sees_all, wire::Status &status) {
    status.version = SANSOCK_VERSION;
    Reader reader(caller, sees_all, status);
    agents.visit(reader);
    if (agents.rendezvous() != nullptr) status.__set_hosts(agents.rendezvous()->hosts());
}

}  // namespace sansock::control
