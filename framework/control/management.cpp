#include "control/management.hpp"

#include <grp.h>
#include <pwd.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <thrift/TOutput.h>
#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>
#include <thrift/transport/TSocket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "control/Management.h"

namespace sansock::control {
namespace {

namespace transport = apache::thrift::transport;
using apache::thrift::TConnectionInfo;

constexpr int kMessageMax = 1 << 20;  ///< Bytes of what a caller may ask.
constexpr int kCallersMax = 64;
constexpr int kTimeoutMs = 10'000;  ///< In which a caller must have asked, and taken some of the answer.

bool is_member(uid_t uid, gid_t primary, gid_t group) {
    if (group == static_cast<gid_t>(-1)) return false;
    if (primary == group) return true;
    passwd entry{}, *found = nullptr;
    std::vector<char> buffer(16384);
    if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return false;
    std::vector<gid_t> groups(256);
    int count = static_cast<int>(groups.size());
    if (getgrouplist(entry.pw_name, entry.pw_gid, groups.data(), &count) < 0) return false;
    return std::find(groups.begin(), groups.begin() + count, group) != groups.begin() + count;
}

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

    void connection(const std::vector<const Agent *> &holders, const Agent &family, const BoardView &board, uint32_t index) override {
        const Agent &agent = holders.empty() ? family : *holders.front();
        if (!may_see(agent)) return;
        wire::Connection connection;
        connection.pid = agent.who.pid;
        connection.program = agent.program;
        connection.holders = static_cast<int32_t>(holders.size());
        read(board, index, connection);
        if (connection.role.empty()) return;
        for (const Agent *holder : holders.empty() ? std::vector{&family} : holders) {
            wire::Process &process = status_.processes[indexes_.at(holder)];
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
        const auto number = [&](std::string_view field) { return board.number(index, field); };
        const uint64_t role = number("role");
        if (role > kAccept) return;  // not connected yet, or a listener
        to.role = role == kConnect ? "connect" : "accept";
        to.local = board.address(index, "local");
        to.peer = board.address(index, "remote");
        to.state = number("phase") == kLingering ? "closing" : "open";
        const auto sent = number("sent"), received = number("received");
        const auto sent_provider = std::min(sent, number("sent_provider")),
                   received_provider = std::min(received, number("received_provider"));
        to.sent_provider = static_cast<int64_t>(sent_provider);
        to.sent_tcp = static_cast<int64_t>(sent - sent_provider);
        to.received_provider = static_cast<int64_t>(received_provider);
        to.received_tcp = static_cast<int64_t>(received - received_provider);
        to.upgrades = static_cast<int32_t>(number("upgrades"));
        to.step_backs = static_cast<int32_t>(number("step_backs"));
        to.reason = board.reason(number("reason"));
        if (to.upgrades == 0 && to.reason.empty()) to.reason = "not-yet";
        to.path = to.reason.empty() ? board.text(index, "plugin") : "tcp";
        if (to.upgrades > 0) to.provider = board.text(index, "guid");
        if (!to.reason.empty()) to.detail = board.text(index, "detail");
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

/// One caller's session.
class Session final : public wire::ManagementIf {
public:
    Session(Agents &agents, const Access &access, const ucred &caller) : agents_(agents), access_(access), caller_(caller) {}

    void status(wire::Status &status) override {
        status.version = SANSOCK_VERSION;
        Reader reader(caller_.uid, may_see_all(), status);
        agents_.visit(reader);
    }

private:
    [[nodiscard]] bool may_see_all() const {
        return caller_.uid == 0 || caller_.uid == geteuid() || is_member(caller_.uid, caller_.gid, access_.group);
    }

    Agents &agents_;
    const Access &access_;
    const ucred caller_;
};

class Sessions final : public wire::ManagementIfFactory {
public:
    Sessions(Agents &agents, const Access &access) : agents_(agents), access_(access) {}

    wire::ManagementIf *getHandler(const TConnectionInfo &connection) override {
        ucred caller{0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};
        socklen_t size = sizeof caller;
        const auto socket = std::dynamic_pointer_cast<transport::TSocket>(connection.transport);
        if (socket != nullptr) getsockopt(socket->getSocketFD(), SOL_SOCKET, SO_PEERCRED, &caller, &size);
        return new Session(agents_, access_, caller);
    }
    void releaseHandler(wire::ManagementIf *handler) override { delete handler; }

private:
    Agents &agents_;
    const Access access_;
};

/// Callers cannot make it take more than a message's worth of memory.
class BoundedServerSocket final : public transport::TServerSocket {
public:
    using TServerSocket::TServerSocket;

protected:
    std::shared_ptr<transport::TSocket> createSocket(THRIFT_SOCKET client) override {
        return std::make_shared<transport::TSocket>(client, pChildInterruptSockReader_,
                                                    std::make_shared<apache::thrift::TConfiguration>(kMessageMax));
    }
};

}  // namespace

std::unique_ptr<apache::thrift::server::TServer> make_management_server(const std::string &path, Agents &agents, const Access &access) {
    apache::thrift::GlobalOutput.setOutputFunction([](const char *text) { spdlog::debug("thrift: {}", text); });
    auto socket = std::make_shared<BoundedServerSocket>(path);
    socket->setRecvTimeout(kTimeoutMs);
    socket->setSendTimeout(kTimeoutMs);
    socket->setListenCallback([path](THRIFT_SOCKET) { chmod(path.c_str(), 0666); });
    auto server = std::make_unique<apache::thrift::server::TThreadedServer>(
        std::make_shared<wire::ManagementProcessorFactory>(std::make_shared<Sessions>(agents, access)), socket,
        std::make_shared<transport::TBufferedTransportFactory>(), std::make_shared<apache::thrift::protocol::TBinaryProtocolFactory>());
    server->setConcurrentClientLimit(kCallersMax);
    return server;
}

}  // namespace sansock::control
