// The port to which processes of other hosts connect, show a token, and are passed on to the process that the token is for.
#pragma once
#include <array>
#include <chrono>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/unique_fd.hpp"
#include "control/register.hpp"
#include "control/rendezvous_counts.hpp"
#include "control/seldom.hpp"
#include "socket/agent_message.hpp"

namespace sansock::control {

/// One thread, which waits for none of them. Who has shown nothing after two seconds is closed, as is the oldest of those where there are
/// too many.
class Channels {
public:
    Channels(UniqueFd listener, Register &connections, RendezvousCounts &counts);
    ~Channels();

    [[nodiscard]] size_t unproven() const;

private:
    using Clock = Register::Clock;
    static constexpr size_t kUnprovenMax = 1024, kUnprovenOfAddressMax = 64;
    static constexpr int kTurns = 64;  ///< Connections that are let in before it looks at the others.
    static constexpr auto kWithin = std::chrono::seconds(2);

    struct Unproven {
        UniqueFd socket;
        config::Address from;
        Clock::time_point until;
        std::array<char, sizeof(socket::ChannelOpening)> shown{};
        size_t have = 0;
    };
    using Place = std::list<Unproven>::iterator;

    void serve();
    /// False: there is no descriptor left.
    bool accept_all();
    void admit(UniqueFd socket, const config::Address &from);
    /// It has become readable, or has ended.
    void look(Place unproven);
    void pass_on(Unproven &proven);
    void count(RendezvousCounts::Channel outcome, const config::Address &from);
    void drop(Place unproven);
    void drop_late();
    [[nodiscard]] int next_timeout() const;

    const UniqueFd listener_, stop_, epoll_;
    Register &register_;
    RendezvousCounts &counts_;
    Seldom log_;
    mutable std::mutex mutex_;      ///< Of the number of those that there are, for whoever asks.
    std::list<Unproven> unproven_;  ///< The oldest first.
    std::unordered_map<int, Place> by_socket_;
    std::map<config::Address, size_t> of_address_;
    std::jthread serving_;
};

}  // namespace sansock::control
