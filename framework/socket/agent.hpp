// The helper's line to sansockd, where there is one: the process shows itself, hears which providers are drained, and reads its
// configuration anew. What the daemon said last holds until it says something else, also when it has gone.
//
// A daemon that is not there is looked for ever more rarely. (A watch on the directory would cost nothing while nothing happens; but a user
// may have only so many, and those are for the user's programs.)
#pragma once
#include "socket/reload.hpp"

namespace sansock::socket {

/// What the daemon says of connections between hosts.
class Introductions {
public:
    /// It is there, for the first time or again, and knows of no connection.
    virtual void daemon_is_there() = 0;
    virtual void found(const AgentFound &found) = 0;
    virtual void expect(const AgentExpect &expect) = 0;
    virtual void channel(const AgentChannel &channel, UniqueFd fd) = 0;

protected:
    ~Introductions() = default;
};

class Agent {
public:
    Agent(Process &process, Couriers &couriers, Introductions &introductions)
        : process_(process), introductions_(introductions), drain_(process, couriers), reload_(process, drain_) {}
    /// `epoll_fd`: the helper's, which hears of the daemon under `watch`.
    void start(int epoll_fd, uint64_t watch);
    /// The daemon has said something, or has gone.
    void readable();
    void timers();
    [[nodiscard]] bool is_connected() const { return daemon_ >= 0; }
    [[nodiscard]] bool was_connected() const { return was_connected_; }
    /// kRegister, with the connection's socket, or kLookUp. False: there is no daemon, or it takes nothing more.
    bool tell(AgentType type, uint64_t id, const SharedConnection &connection, int fd = -1) const;
    void forget(uint64_t id) const;
    [[nodiscard]] uint64_t next_due_ns() const { return std::min({due_ns_, drain_.next_due_ns(), reload_.next_due_ns()}); }

private:
    static constexpr uint64_t kWaitNs = 2'000'000'000, kWaitNsMax = 32'000'000'000;

    static constexpr long kAnswerNs = 20'000'000;

    void look();
    void hear(const char *message, size_t size, UniqueFd &fd);
    void hear_drain(const AgentDrain &drain);
    void hear_reload(const AgentReload &reload);
    bool tell(const void *message, size_t size, int fd = -1) const;
    void tell_progress(Drain::Progress progress);
    [[nodiscard]] bool greet(int daemon) const;

    Process &process_;
    Introductions &introductions_;
    int epoll_fd_ = -1;
    uint64_t watch_ = 0;
    int daemon_ = -1;
    bool was_connected_ = false;
    Drain drain_;
    Reload reload_;
    uint32_t drain_number_ = 0;
    Drain::Progress told_ = Drain::kDone;
    uint64_t due_ns_ = UINT64_MAX, wait_ns_ = kWaitNs;
};

}  // namespace sansock::socket
