// The helper's line to sansockd, where there is one: the process shows itself, and otherwise does without it.
//
// A daemon that is not there is looked for ever more rarely. (A watch on the directory would cost nothing while nothing happens; but a user
// may have only so many, and those are for the user's programs.)
#pragma once
#include "socket/process.hpp"

namespace sansock::socket {

class Agent {
public:
    explicit Agent(Process &process) : process_(process) {}
    /// `epoll_fd`: the helper's, which hears of the daemon under `watch`.
    void start(int epoll_fd, uint64_t watch);
    /// The daemon has said something, or has gone.
    void readable();
    void timers();
    [[nodiscard]] uint64_t next_due_ns() const { return due_ns_; }

private:
    static constexpr uint64_t kWaitNs = 1'000'000'000, kWaitNsMax = 32'000'000'000;

    void look();
    [[nodiscard]] bool greet(int daemon) const;

    Process &process_;
    int epoll_fd_ = -1;
    uint64_t watch_ = 0;
    int daemon_ = -1;
    uint64_t due_ns_ = UINT64_MAX, wait_ns_ = kWaitNs;
};

}  // namespace sansock::socket
