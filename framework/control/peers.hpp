// The daemons of other hosts, as this one asks them.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "control/identity.hpp"
#include "control/pair.hpp"
#include "control/register.hpp"
#include "control/rendezvous_counts.hpp"
#include "control/seldom.hpp"
#include "control/tls.hpp"

namespace sansock::control {

/// What has come of a question.
struct Reply {
    socket::FoundStatus status = socket::FoundStatus::kNoDaemon;
    uint64_t holder = 0;
    Token token{};
    uint16_t channel_port = 0;
    std::string why;
};

struct Query {
    Pair pair;  ///< As this host names it.
    uint64_t asker = 0;
    uid_t user = 0;
    std::function<void(const Reply &)> tell;  ///< From any thread; always, and once.
};

/// A thread and a connection for each host that is being asked; both end when nothing is asked for a while. Who cannot be reached is left
/// alone for a second, then two, and so on.
class Peers {
public:
    using Clock = Tls::Clock;
    struct Times {
        Clock::duration call = std::chrono::seconds(2);
        Clock::duration idle = std::chrono::seconds(30);  ///< Before the other one closes.
        Clock::duration hold_off = std::chrono::seconds(1), hold_off_max = std::chrono::seconds(30);
    };

    Peers(Identity &identity, RendezvousCounts &counts, uint16_t port, Times times);
    ~Peers();

    /// Never waits.
    void ask(Query query);
    /// Hosts that may be tried again at once.
    void forgive();

    struct Count {
        size_t asked = 0, unreachable = 0;
    };
    [[nodiscard]] Count count() const;

private:
    static constexpr size_t kPeersMax = 4096, kThreadsMax = 256, kThreadsOfUserMax = 64, kWaitingMax = 4096, kWaitingOfUserMax = 1024;

    struct Waiting {
        Query query;
        Clock::time_point until;
    };
    struct Peer {
        config::Address address;
        std::deque<Waiting> waiting;
        std::map<uid_t, size_t> of_user;  ///< Of those that wait.
        std::condition_variable come;
        bool has_thread = false;
        uid_t thread_of = 0;  ///< For whom it was begun.
        int failures = 0;
        Clock::time_point retry{};
        Reply failure;  ///< What is answered until then.
    };
    using PeerPtr = std::shared_ptr<Peer>;
    /// What was answered, and whether that was the host's answer.
    struct Called {
        Reply reply;
        bool reached = false;
    };

    /// Why not; empty: it waits now.
    std::optional<Reply> enqueue(Query &query);
    PeerPtr find(const config::Address &address, Clock::time_point now);
    std::optional<Reply> start(const PeerPtr &peer, uid_t user);
    void work(const PeerPtr &peer);
    Waiting take(Peer &peer);
    void note(Peer &peer, const Called &called);
    Called call(std::unique_ptr<Tls> &connection, const Peer &peer, const Waiting &waiting);
    Tls::Outcome<std::unique_ptr<Tls>> connect(const config::Address &address, Tls::Deadline deadline);
    Called failed(const config::Address &address, const Tls::Failure &failure);

    Identity &identity_;
    RendezvousCounts &counts_;
    const uint16_t port_;
    const Times times_;
    Seldom log_;
    mutable std::mutex mutex_;
    std::condition_variable ended_;
    std::map<config::Address, PeerPtr> peers_;
    std::map<uid_t, size_t> threads_of_;
    size_t threads_ = 0;
    bool stopped_ = false;
};

}  // namespace sansock::control
