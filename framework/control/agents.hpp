// The processes of this host that have shown themselves to the daemon.
#pragma once
#include <sys/socket.h>

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "config/guid.hpp"
#include "control/board_view.hpp"
#include "control/counters.hpp"
#include "control/line.hpp"
#include "socket/agent_message.hpp"

namespace sansock::control {

/// One process: a channel, which ends with it, and its family's board.
struct Agent {
    std::shared_ptr<Line> line;
    ucred who{};  ///< As the kernel vouches.
    bool greeted = false;
    int32_t own_pid = 0;  ///< As its own pid namespace numbers it.
    BoardView::Family family{};
    std::string program, config;
    enum Drain : uint8_t { kMoving, kInUse, kDone } drain = kDone;  ///< How far it has got with what is drained.
    enum Reload : uint8_t { kUnanswered, kReloaded, kRefused } reload = kReloaded;
    std::string why;  ///< It has refused to.
};

class Rendezvous;

class Agents {
public:
    /// Takes a listening SOCK_SEQPACKET socket over.
    explicit Agents(UniqueFd listener);

    /// By which processes find those of other hosts; nullptr: there is none. Before serve().
    void set_rendezvous(Rendezvous *rendezvous) { rendezvous_ = rendezvous; }
    [[nodiscard]] Rendezvous *rendezvous() const { return rendezvous_; }

    /// Serves until `stop` (a descriptor) can be read.
    void serve(int stop);

    /// What one process shows, for as long as the call lasts.
    class Visitor {
    public:
        virtual void process(const Agent &agent) = 0;
        /// Whether it wants to see the connections of a family, of which this is a process.
        [[nodiscard]] virtual bool wants(const Agent &agent) const = 0;
        /// An entry of the board of its family that is in use, with all of its processes that are known.
        virtual void connection(const std::vector<const Agent *> &holders, const Agent &family, const BoardView &board, uint32_t index) = 0;

    protected:
        ~Visitor() = default;
    };
    void visit(Visitor &visitor);

    /// What all processes have done since the daemon runs, and those that run since they do, by user. No count falls from one call to the
    /// next.
    CountsOfUsers counts();

    /// From now on these providers are drained in every process, and no others; at most socket::kDrainsMax.
    void set_drained(const std::set<config::Guid> &guids);
    /// Every process reads its configuration anew; Agent::reload tells what became of it.
    void reload(bool live);

private:
    static constexpr size_t kAgentsMax = 16384, kAgentsOfUserMax = 4096;
    static constexpr size_t kDepartedMax = 4096;
    static constexpr uint64_t kBytesOfVisitMax = uint64_t{1} << 30;

    struct Family {
        std::unique_ptr<BoardView> board;
        size_t members;
        uid_t user;  ///< Of the first of them.
    };

    bool accept_all();
    void depart(const std::pair<const BoardView::Family, Family> &family);
    void forget(std::map<int, Agent>::iterator gone);
    /// False: it has gone, or said what it must not.
    bool receive(Agent &agent);
    bool greet(Agent &agent, const socket::AgentHello &hello, UniqueFd &board);
    void tell_drained(Agent &agent) const;

    Rendezvous *rendezvous_ = nullptr;
    std::mutex mutex_;
    UniqueFd listener_, epoll_;
    std::map<int, Agent> agents_;  ///< By channel.
    std::map<BoardView::Family, Family> families_;
    CountsOfUsers ended_;  ///< Of families that will not come back.
    struct Departed {
        uid_t user;
        Counts counts;
    };
    std::map<BoardView::Family, Departed> departed_;  ///< Those of whom a process may show itself again, with all that it did before.
    CountsOfUsers told_;                              ///< A connection that ends meanwhile may be missed, or seen twice, for a moment.
    std::map<uid_t, size_t> of_user_;
    bool full_ = false;  ///< There was no descriptor for a process, and the log has that.
    std::set<config::Guid> drained_;
    uint32_t drain_number_ = 1, reload_number_ = 0;
};

}  // namespace sansock::control
