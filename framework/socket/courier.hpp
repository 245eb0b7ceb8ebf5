// A connection's message path in this process: the carrier that moves its bytes, and the provider's endpoint that it uses.
//
// Where the provider's path is the memory that both ends map, there is none of this. Otherwise whoever is in a library call carries
// (carry()), and the helper does when the provider's queue notifies it. Courier objects lie in an array that is never
// unmapped, so a thread with a stale pointer finds a stopped carrier. Endpoints belong to the process that made them: a child of
// fork steps the connections that it uses back to TCP.
#pragma once
#include "path/carrier.hpp"
#include "socket/attendance.hpp"
#include "socket/process.hpp"

namespace sansock::socket {

struct Message;

struct Courier {
    enum State : uint8_t {
        kFree = 0,
        kMeeting,
        kCarrying,
        kIdle,  ///< Its connection rests on TCP: the receives have their memory still, the endpoint is gone.
        kRetired
    };
    std::atomic<uint8_t> state{kFree};
    Connection *connection = nullptr;
    uint32_t generation = 0;  ///< Of the connection.
    void *endpoint = nullptr;
    uint64_t decide_ns = 0;            ///< When a failure that may be the peer's death is taken for one of the provider.
    std::atomic<bool> awaited{false};  ///< Somebody has found the path not established yet, and may sleep until it is.
    MessageLimits limits;
    uint32_t provider = 0;            ///< Of the endpoint.
    uint32_t landing = 0;             ///< Where its receives lie.
    uint64_t began_ns = 0;            ///< When it began to carry.
    uint64_t hold_ns = 0;             ///< How long it is to be idle.
    uint32_t asked_epoch = 0;         ///< Idle, with an endpoint: in which the peer was asked to go on.
    uint64_t return_ns = UINT64_MAX;  ///< Idle: when the peer is asked, or has had the time to answer. The end that connected asks.
    path::Carrier carrier;
    Attendance attendance;
};

/// Moves what can be moved for this connection and wakes its waiters; any thread. Without `arm`: the caller looks again soon. Threads that
/// attend to the connection do, unless something is left to be sent.
void carry_now(Connection &connection, bool arm);
inline void carry(Connection &connection, bool arm = true) {
    if (__builtin_expect(connection.courier.load(std::memory_order_acquire) != nullptr, 0)) carry_now(connection, arm);
}
/// The same for a thread that is about to listen to the queue; and for one that was notified by it, which does not ask for another
/// notification before it sleeps again: what came is to be answered first.
void carry_before_sleep(Connection &connection);
void carry_notified(Connection &connection);
/// The calling thread is about to wait in a call for what comes over the connection's path, and will listen itself. False: it cannot.
bool attend(Connection &connection);
/// It waits in another way, for which the helper has to listen.
void leave_to_helper(Connection &connection);
/// The peer shall tell how far its application has got; the helper.
void ask_how_far(Connection &connection);
/// The connection needs its courier no more; any thread. The helper closes it.
void retire_courier(Connection &connection);
/// In a child of fork, right away: none of the couriers is ours.
void forget_couriers(Process &process);

/// The helper's side.
class Couriers {
public:
    explicit Couriers(Process &process) : process_(process) {}

    /// An endpoint with its receives posted; nullptr: the provider or the memory does not allow it, `reason` says which.
    Courier *prepare(const Choice &choice, stream::Reason &reason);
    /// What the peer must be told with an offer or an answer, and what it said.
    static void introduce(const Courier &courier, Message &message);
    /// Both slots are known, and what the peer said. False: its terms are impossible, or the window cannot be registered.
    bool start(Courier &courier, Connection &connection, const Choice &choice, uint32_t epoch, const Message &peer);
    /// Takes it apart: nothing of the connection's memory is the provider's any more.
    void close(Courier &courier);

    /// The connection rests on TCP, whether its epoch is over or has not begun: it needs its endpoint no more. With its fd_lock held.
    void let_rest(Connection &connection);
    /// An idle one gets an endpoint for another epoch, with its receives posted. False: not as things are.
    bool prepare_again(Courier &courier, const Choice &choice);
    /// An idle one has none, and is not looked at for a time: longer than the time before, where that has led to nothing.
    void hold(Courier &courier, bool longer);
    /// It is looked at again then.
    void wait(Courier &courier, uint64_t until_ns);
    /// The peer was asked to go on in this epoch.
    void await_answer(Courier &courier, uint32_t epoch);
    [[nodiscard]] static bool awaits_answer(const Courier &courier, uint32_t epoch) {
        return courier.state.load(std::memory_order_relaxed) == Courier::kIdle && courier.endpoint != nullptr &&
               courier.asked_epoch == epoch;
    }
    /// Its provider takes connections again.
    void return_soon(Connection &connection);
    /// Calls `look` with each idle one whose time has come, and its connection, of which the fd_lock is held.
    template <class Look>
    void each_due(Look &&look);
    [[nodiscard]] uint64_t return_due_ns() const { return return_due_ns_; }

    void notified(uint32_t index);
    /// What becomes of a path that has failed, or whose epoch is over. With the connection's fd_lock held.
    void look_after(Connection &connection);
    /// Nothing of ours is registered with any of these providers afterwards, a bit each. False: one of them carries connections.
    bool release(uint64_t providers);
    /// Closes what was retired, and lets go of peers that are dead and unused.
    void sweep();
    void timers();
    [[nodiscard]] uint64_t next_due_ns() const { return next_due_ns_; }
    [[nodiscard]] static uint32_t index_of(const Courier &courier);
    /// The helper's epoll instance hears of it under that name.
    void listen(Courier &courier, int epoll, uint64_t name) {
        courier.attendance.open(epoll, process_.runtime()->notification_fd(courier.endpoint), name);
    }

private:
    struct LandingArena {
        memory::Arena arena;
        uint32_t provider = 0;
        path::Registered registered;
    };
    static constexpr uint32_t kLandingArenas = 16;

    /// By number; nullptr behind the last.
    static Courier *courier_at(uint32_t index);
    Courier *new_courier();
    void *create(const Choice &choice);
    bool lend(Courier &courier, const Choice &choice);
    bool cover_landing(LandingArena &landing, const Choice &choice, uint32_t slots);
    void close_endpoint(Courier &courier);
    void rest(Courier &courier, Connection &connection);
    /// Its connection has it still, and may go on with it. Otherwise it is closed.
    bool is_idle_of(Courier &courier, Connection &connection);
    stream::Reason land(Courier &courier, const Choice &choice);
    const path::Registered *window_of(const Connection &connection, const Choice &choice);
    /// Calls `cover` with what registers memory with the provider.
    template <class Cover>
    bool register_with(uint32_t provider, Cover &&cover) {
        return cover([&](void *base, uint64_t length) { return process_.runtime()->register_memory(provider, base, length); });
    }
    void forget_windows(Peer &peer);
    bool peer_is_gone(Connection &connection);
    void fail(Courier &courier, Connection &connection);
    void due_at(uint64_t ns) { next_due_ns_ = std::min(next_due_ns_, ns); }

    Process &process_;
    LandingArena landings_[kLandingArenas];
    uint64_t next_due_ns_ = UINT64_MAX, return_due_ns_ = UINT64_MAX;
    uint64_t watch_ns_ = 0;       ///< When paths are next looked at for silence; 0: none waits for anything.
    uint64_t attendance_ns_ = 0;  ///< And whether threads still attend to theirs; 0: none does.
};

template <class Look>
void Couriers::each_due(Look &&look) {
    const uint64_t now = now_ns();
    if (now < return_due_ns_) return;
    return_due_ns_ = UINT64_MAX;
    for (uint32_t i = 0; Courier *courier = courier_at(i); ++i) {
        if (courier->state.load(std::memory_order_acquire) != Courier::kIdle) continue;
        if (now >= courier->return_ns) {
            Connection &connection = *courier->connection;
            stream::Guard guard(connection.fd_lock);
            if (is_idle_of(*courier, connection)) look(*courier, connection);
        }
        return_due_ns_ = std::min(return_due_ns_, courier->return_ns);
    }
}

}  // namespace sansock::socket
