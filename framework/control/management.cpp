#include "control/management.hpp"

#include <fmt/format.h>
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

#include "base/printable.hpp"
#include "control/Management.h"
#include "control/connections.hpp"
#include "control/log.hpp"
#include "control/reload.hpp"

namespace sansock::control {
namespace {

namespace transport = apache::thrift::transport;
using apache::thrift::TConnectionInfo;

constexpr int kMessageMax = 1 << 20;  ///< Bytes of what a caller may ask.
constexpr int kCallersMax = 256;
constexpr int kTimeoutMs = 2'000;  ///< In which a caller must have asked, and taken some of the answer.

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

/// Who has yet to do what it was told.
class Stragglers final : public Agents::Visitor {
public:
    Stragglers(const std::set<config::Guid> &guids, uid_t caller, bool sees_all, wire::Drains &drains)
        : caller_(caller), sees_all_(sees_all), drains_(drains) {
        for (const config::Guid &guid : guids) drains.guids.push_back(guid.text());
    }

    void process(const Agent &agent) override {
        if (!may_see(agent)) return;
        ++drains_.processes;
        if (agent.drain == Agent::kDone) return;
        wire::Straggler straggler;
        straggler.pid = agent.who.pid;
        straggler.uid = static_cast<int32_t>(agent.who.uid);
        straggler.program = agent.program;
        straggler.in_use = agent.drain == Agent::kInUse;
        indexes_[&agent] = drains_.stragglers.size();
        drains_.stragglers.push_back(std::move(straggler));
    }

    [[nodiscard]] bool wants(const Agent &agent) const override { return may_see(agent) && agent.drain == Agent::kMoving; }

    void connection(const std::vector<const Agent *> &holders, const Agent &, const BoardView &board, uint32_t index) override {
        constexpr uint64_t kProvider = 1;  // stream::Path
        if (board.connections.number(index, "path_out") != kProvider && board.connections.number(index, "path_in") != kProvider) return;
        if (std::ranges::find(drains_.guids, board.connections.text(index, "guid")) == drains_.guids.end()) return;
        for (const Agent *holder : holders) {
            if (const auto found = indexes_.find(holder); found != indexes_.end()) ++drains_.stragglers[found->second].connections;
        }
    }

private:
    [[nodiscard]] bool may_see(const Agent &agent) const { return sees_all_ || agent.who.uid == caller_; }

    const uid_t caller_;
    const bool sees_all_;
    wire::Drains &drains_;
    std::map<const Agent *, size_t> indexes_;
};

/// One caller's session.
class Session final : public wire::ManagementIf {
public:
    Session(Agents &agents, Drained &drained, const Access &access, const ucred &caller)
        : agents_(agents), drained_(drained), access_(access), caller_(caller) {}

    void status(wire::Status &status) override { read_status(agents_, caller_.uid, may_do_all(), status); }

    void drain(const std::string &guid) override {
        change(guid, "drained", [this](const config::Guid &provider) { return drained_.add(provider); });
    }
    void undrain(const std::string &guid) override {
        change(guid, "not drained any more", [this](const config::Guid &provider) { return drained_.remove(provider); });
    }
    void drains(wire::Drains &drains) override {
        Stragglers stragglers(drained_.guids(), caller_.uid, may_do_all(), drains);
        agents_.visit(stragglers);
    }

    void reload(std::vector<wire::Reloaded> &outcomes, bool live) override {
        check_access();
        if (const std::string faults = faults_of_files(agents_); !faults.empty()) refuse("nothing was changed:\n" + faults);
        outcomes = control::reload(agents_, live);
        spdlog::info("the configuration is read anew, by uid {}, pid {}", caller_.uid, caller_.pid);
    }

    void set_log_level(const std::string &level) override {
        check_access();
        if (!control::set_log_level(level))
            refuse(fmt::format("\"{}\" is no level; allowed: {}", printable(level.substr(0, 60)), kLogLevels));
        spdlog::info("the log level is {}, by uid {}, pid {}", level, caller_.uid, caller_.pid);
    }

private:
    void check_access() const {
        if (!may_do_all()) refuse(fmt::format("uid {} may not; allowed: root, and the members of `sansockd --group`", caller_.uid));
    }

    template <class Change>
    void change(const std::string &text, const char *outcome, Change make) {
        check_access();
        const auto guid = config::Guid::parse(text);
        if (!guid) refuse(fmt::format("\"{}\" is no GUID, as 01234567-89ab-cdef-0123-456789abcdef", printable(text.substr(0, 60))));
        static std::mutex order;  // what is sent last is what holds
        const std::scoped_lock lock(order);
        const auto made = make(*guid);
        if (!made) refuse(made.error().text);
        if (!*made) return;
        spdlog::info("provider {} is {}, by uid {}, pid {}", guid->text(), outcome, caller_.uid, caller_.pid);
        agents_.set_drained(drained_.guids());
    }
    [[noreturn]] static void refuse(std::string why) {
        wire::Refused refused;
        refused.why = std::move(why);
        throw refused;
    }

    [[nodiscard]] bool may_do_all() const {
        return caller_.uid == 0 || caller_.uid == geteuid() || is_member(caller_.uid, caller_.gid, access_.group);
    }

    Agents &agents_;
    Drained &drained_;
    const Access &access_;
    const ucred caller_;
};

class Sessions final : public wire::ManagementIfFactory {
public:
    Sessions(Agents &agents, Drained &drained, const Access &access) : agents_(agents), drained_(drained), access_(access) {}

    wire::ManagementIf *getHandler(const TConnectionInfo &connection) override {
        ucred caller{0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};
        socklen_t size = sizeof caller;
        const auto socket = std::dynamic_pointer_cast<transport::TSocket>(connection.transport);
        if (socket != nullptr) getsockopt(socket->getSocketFD(), SOL_SOCKET, SO_PEERCRED, &caller, &size);
        return new Session(agents_, drained_, access_, caller);
    }
    void releaseHandler(wire::ManagementIf *handler) override { delete handler; }

private:
    Agents &agents_;
    Drained &drained_;
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

std::unique_ptr<apache::thrift::server::TServer> make_management_server(const std::string &path, Agents &agents, Drained &drained,
                                                                        const Access &access) {
    apache::thrift::GlobalOutput.setOutputFunction([](const char *text) { spdlog::debug("thrift: {}", text); });
    auto socket = std::make_shared<BoundedServerSocket>(path);
    socket->setRecvTimeout(kTimeoutMs);
    socket->setSendTimeout(kTimeoutMs);
    socket->setListenCallback([path](THRIFT_SOCKET) { chmod(path.c_str(), 0666); });
    auto server = std::make_unique<apache::thrift::server::TThreadedServer>(
        std::make_shared<wire::ManagementProcessorFactory>(std::make_shared<Sessions>(agents, drained, access)), socket,
        std::make_shared<transport::TBufferedTransportFactory>(), std::make_shared<apache::thrift::protocol::TBinaryProtocolFactory>());
    server->setConcurrentClientLimit(kCallersMax);
    return server;
}

}  // namespace sansock::control
