// The processes of this host that have shown themselves to the daemon.
#pragma once
#include <sys/socket.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "control/board_view.hpp"
#include "socket/agent_message.hpp"

namespace sansock::control {

/// One process: a channel, which ends with it, and its family's board.
struct Agent {
    UniqueFd channel;
    ucred who{};  ///< As the kernel vouches.
    bool greeted = false;
    int32_t own_pid = 0;  ///< As its own pid namespace numbers it.
    uint64_t family = 0;
    std::string program, config;
};

class Agents {
public:
    /// Takes a listening SOCK_SEQPACKET socket over.
    explicit Agents(UniqueFd listener);

    /// Serves until `stop` (a descriptor) can be read.
    void serve(int stop);

    /// What one process shows, for as long as the call lasts.
    class Visitor {
    public:
        virtual void process(const Agent &agent) = 0;
        /// An entry of the board of its family that is in use, with all of its processes that are known.
        virtual void connection(const std::vector<const Agent *> &holders, const Agent &family, const BoardView &board, uint32_t index) = 0;

    protected:
        ~Visitor() = default;
    };
    void visit(Visitor &visitor);

private:
    static constexpr size_t kAgentsMax = 16384;

    void accept_all();
    /// False: it has gone, or said what it must not.
    bool receive(Agent &agent);
    bool greet(Agent &agent, const socket::AgentMessage &hello, UniqueFd board);

    std::mutex mutex_;
    UniqueFd listener_, epoll_;
    std::map<int, Agent> agents_;  ///< By channel.
    struct Family {
        BoardView board;
        size_t members;
    };
    std::map<uint64_t, Family> families_;
};

}  // namespace sansock::control
