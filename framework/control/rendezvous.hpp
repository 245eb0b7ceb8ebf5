// By which the processes that hold the two ends of a connection between two hosts find each other.
//
// Processes are heard in the agents' loop, under its lock; whoever asks other hosts, answers them or takes channels has threads of their
// own. The register's lock may be taken under the agents', and nothing is taken under it; so may that of the peers. What is told to a
// process is told under no lock but the agents', and without waiting.
#pragma once
#include <memory>
#include <string>

#include "base/result.hpp"
#include "control/channels.hpp"
#include "control/identity.hpp"
#include "control/management_types.h"
#include "control/peers.hpp"
#include "control/register.hpp"
#include "control/rendezvous_counts.hpp"
#include "control/rendezvous_server.hpp"
#include "control/where.hpp"
#include "socket/agent_message.hpp"

namespace sansock::control {

inline constexpr const char *kPkiDirectory = "/etc/sansock/pki";

class Rendezvous {
public:
    struct Options {
        std::string service;   ///< Address and port.
        std::string channels;  ///< Empty: the next port.
        std::string pki = kPkiDirectory;
    };
    static Result<std::unique_ptr<Rendezvous>> start(const Options &options);

    /// kRegister (with what it has passed as proof), kForget or kLookUp of a process. Never waits.
    void hear(const std::shared_ptr<Line> &line, const socket::AgentConnection &said, const UniqueFd &proof);
    /// A process has ended, with all that it registered.
    void forget(const Line &line);
    /// What a process is answered where there is no rendezvous.
    static void refuse(const Line &line, const socket::AgentConnection &said);

    /// Reads the certificates anew.
    void reload() { look(true); }

    [[nodiscard]] const std::string &where() const { return where_; }
    [[nodiscard]] wire::Hosts hosts();
    void tell(Exposition &to) { counts_.tell(to, gauges()); }

private:
    Rendezvous(std::unique_ptr<Identity> identity, uint64_t network, std::string where)
        : identity_(std::move(identity)), network_(network), where_(std::move(where)) {}

    [[nodiscard]] RendezvousCounts::Gauges gauges();
    void look(bool anyway);
    void add(const std::shared_ptr<Line> &line, const socket::AgentConnection &said, const UniqueFd &proof);
    void look_up(const std::shared_ptr<Line> &line, const socket::AgentConnection &said);
    void answer(Line &line, uint64_t id, const Pair &pair, const Reply &reply);

    std::unique_ptr<Identity> identity_;
    const uint64_t network_;
    const std::string where_;
    RendezvousCounts counts_;
    Seldom log_;
    Register register_;
    // These have threads, which use the rest.
    std::unique_ptr<Peers> peers_;
    std::unique_ptr<Channels> channels_;
    std::unique_ptr<RendezvousServer> server_;
};

}  // namespace sansock::control
