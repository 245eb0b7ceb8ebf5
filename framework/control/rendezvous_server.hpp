// Answers other hosts' daemons: which process here holds the other end of a connection.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

#include "base/unique_fd.hpp"
#include "control/Rendezvous.h"
#include "control/identity.hpp"
#include "control/register.hpp"
#include "control/rendezvous_counts.hpp"
#include "control/seldom.hpp"
#include "control/tls.hpp"

namespace sansock::control {

/// A thread for each caller. Callers who have yet to show who they are have two seconds for that, and places of their own, so many for all
/// and few for an address; when all places of those who have are taken, whoever has been silent longest makes room. `now_and_then` is
/// called every two seconds.
class RendezvousServer {
public:
    RendezvousServer(UniqueFd listener, Identity &identity, Register &connections, RendezvousCounts &counts, uint16_t channel_port,
                     std::function<void()> now_and_then);
    ~RendezvousServer();

    [[nodiscard]] size_t sessions() const;

private:
    using Clock = Tls::Clock;
    static constexpr size_t kUnprovenMax = 64, kUnprovenOfAddressMax = 8, kProvenMax = 256, kProvenOfAddressMax = 8;
    static constexpr int kTurns = 64;  ///< Callers that are let in before it looks at anything else.
    static constexpr auto kWithin = std::chrono::seconds(2);
    static constexpr auto kIdle = std::chrono::seconds(60);
    static constexpr auto kNowAndThen = std::chrono::seconds(2);

    struct Session {
        UniqueFd socket;
        config::Address from;
        bool is_proven = false, is_busy = false, is_over = false;
        Clock::time_point used{};
    };
    using Place = std::list<Session>::iterator;

    void accept_all();
    void accept_until_stopped();
    void serve(Place session);
    void converse(Place session, Tls &tls);
    void log_failure(const config::Address &from, const Tls::Failure &failure);
    [[nodiscard]] bool may_come(const config::Address &from) const;
    /// False: there is no place.
    bool prove(Place session);
    void set_busy(Place session, bool is_busy);

    const UniqueFd listener_, stop_;
    Identity &identity_;
    Register &register_;
    RendezvousCounts &counts_;
    const uint16_t channel_port_;
    const std::function<void()> now_and_then_;
    Seldom log_;
    mutable std::mutex mutex_;
    std::condition_variable gone_;
    std::list<Session> sessions_;
    size_t proven_ = 0;
    std::jthread accepting_;
};

/// What is answered to a host that is who it says.
class Answerer final : public wire::RendezvousIf {
public:
    Answerer(Register &connections, RendezvousCounts &counts, Seldom &log, Register::Host host, uint16_t channel_port)
        : register_(connections), counts_(counts), log_(log), host_(std::move(host)), channel_port_(channel_port) {}
    void look_up(wire::Answer &answer, const wire::Question &question) override;

private:
    Register &register_;
    RendezvousCounts &counts_;
    Seldom &log_;
    const Register::Host host_;
    const uint16_t channel_port_;
};

}  // namespace sansock::control
