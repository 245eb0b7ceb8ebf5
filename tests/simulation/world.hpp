// Two processes, the connection between them, and the account of what each application was told.
#pragma once
#include <deque>
#include <memory>
#include <new>
#include <string>

#include "coverage.hpp"
#include "far.hpp"
#include "scenario.hpp"
#include "scheduler.hpp"
#include "stream/end.hpp"
#include "tcp.hpp"

namespace sansock::simulation {

class World;
struct Process;

/// An eventfd.
struct Bell {
    uint64_t count = 0;
    void ring() {
        ++count;
        Scheduler::get().wake(this);
    }
};

inline constexpr uint16_t kHelperWaker = 1;  ///< framework/socket/process.hpp
inline constexpr uint16_t kFirstWaker = 2;   ///< Of the application's threads; reader and writer, or the one that polls.
inline constexpr uint16_t kWakersEnd = 4;
inline constexpr uint64_t kFirstSleepNs = 4'000'000;  ///< framework/socket/waiting.hpp
inline constexpr uint64_t kHeldNapNs = 1'000'000;
inline constexpr uint64_t kRendezvousNs = 1'000'000'000;
inline constexpr uint64_t kStepTimeoutNs = 5'000'000'000;

/// The stream's world, as framework/socket/environment.cpp makes it of a socket and a peer.
class SimulatedEnvironment final : public stream::Environment {
public:
    explicit SimulatedEnvironment(Process &process) : p_(process) {}
    long tcp_send(const iovec *parts, int count, int flags) override;
    long tcp_receive(const iovec *parts, int count, int flags) override;
    long tcp_unsent() override;
    long tcp_unread() override;
    long tcp_counts(stream::KernelCounts &counts) override;
    bool tcp_has_error() override;
    void tcp_shutdown_write() override;
    void tcp_acknowledge() override {}  // this kernel holds no acknowledgement back
    uint64_t now_ns() override;
    void tcp_guard(bool on) override;
    void tcp_poison() override;
    void ring_peer_helper() override;
    void ring_own_helper() override;
    void wake_peer_readers() override;
    void wake_peer_writers() override;
    void path_opens(uint64_t at) override;
    void words_changed() override;
    void wake_own() override;

private:
    void wake_objects_of_peer();
    Process &p_;
};

enum class Phase : uint8_t { kAttached, kTcpOnly, kLingering, kClosed };  ///< framework/socket/connection.hpp

struct Process {
    Process(World &world, int side);
    [[nodiscard]] Process &peer() const;
    [[nodiscard]] stream::State &state() const { return *state_memory; }
    [[nodiscard]] memory::Slot &slot() const { return arena.slot(slot_index); }

    World &world;
    const int side;
    memory::Arena arena;
    memory::PeerArena peer_arena;
    uint32_t slot_index = 0;
    std::unique_ptr<stream::State> state_memory;
    SimulatedEnvironment environment{*this};
    std::unique_ptr<stream::End> end;
    std::unique_ptr<Far> far;  ///< Of two hosts.

    Phase phase = Phase::kAttached;
    bool mapped = true;
    bool channel_ended = false;  ///< To the peer's helper within one host, and this one has yet to hear of it.
    FamilyLock fd_lock;
    Bell doorbell;
    Bell wakers[kWakersEnd];
    uint32_t tickets[kWakersEnd] = {};
    uint32_t woken[kWakersEnd] = {};  ///< The peer's tickets that we have woken.

    // --- the account ---
    uint64_t told = 0;       ///< Bytes that the application was told are sent.
    uint64_t offered = 0;    ///< ... and those that a call under way may still publish.
    uint64_t got = 0;        ///< Bytes that it has read.
    bool wrote_all = false;  ///< Sends no more: the peer's stream may end.
    bool read_to_end = false;
    bool write_failed = false;
    bool error_taken = false;  ///< A call took the kernel's ECONNRESET: another one may read an end of file meanwhile, as on TCP ...
    bool error_told = false;   ///< ... but the application must have been told by one of them in the end.
    bool ended_short = false;
    bool finished = false;  ///< Has closed.
    bool alive = true, stopped = false, mute = false, native = false;
    bool unread_at_peers_death = false;  ///< The peer was killed with bytes of ours unread on the provider.
    bool blocked_reading = false, blocked_writing = false;
};

/// A connection of the provider of messages.
struct Line {
    SimulatedEndpoint *ends[2] = {};
    bool connected = false;
};

class World final : public Watcher {
public:
    World();
    ~World();

    struct Outcome {
        std::string failure;  ///< Empty: all was as it must be.
        uint64_t bytes[2];    ///< Delivered of each direction.
        uint32_t upgrades, step_backs;
        bool enough;  ///< Each direction has moved, with a switch, within one host a STEP, and a fault.
        uint64_t points;
    };
    Outcome run(uint64_t seed);

    void passed(Actor &actor, int point) override;
    void preempted(Actor &actor) override;

    Scheduler &scheduler = Scheduler::get();
    Scenario scenario{};
    Tcp tcp;
    Channel channel;
    std::unique_ptr<Process> process[2];
    Coverage coverage[2];    ///< Within one host, and between two.
    std::deque<Line> lines;  ///< Of each epoch.
    bool path_stopped = false;
    bool fault_done = false;  ///< Its cause is there, ...
    bool fault_felt = false;  ///< ... and somebody has met it.
    bool excused = false;     ///< Something has happened for which an application may be told ECONNRESET.

    /// True once both directions have moved what they must, and the protocol has been up and back: now the fault may come.
    [[nodiscard]] bool warmed_up() const { return warmed_up_; }
    /// An application has been told of bytes sent or read.
    void progressed();
    /// Somebody has met the fault.
    void felt() { fault_felt = true; }
    /// Sleeps until there is some, anywhere, but not for long.
    void await_progress() { scheduler.sleep({&next_drain_}, scheduler.now_ns() + 1'000'000); }
    /// A side has reset the connection of itself.
    void poisoned(const Process &process, stream::Reason reason);
    /// What the provider sleeps on.
    [[nodiscard]] const void *provider_key() const { return &provider_silent_; }
    /// Nobody is to write for the moment: the connection shall fall silent.
    [[nodiscard]] bool is_idle() const { return scenario.fault == Fault::kIdleKill && warmed_up_ && !fault_done; }
    /// The application of `process` is about to close: a fault that has not come yet, or has done nothing, comes now or once it has closed.
    void last_call(const Process &process);
    void closed(const Process &process);
    [[nodiscard]] bool wants_leave(const Process &process) const { return leaving_ == process.side; }
    void fail(const std::string &what) { scheduler.fail(what); }
    void cover(const Process &process, Event event) { coverage[scenario.two_hosts].count(process, event); }

private:
    void set_up();
    void run_helper(Process &process);
    void look_after(Process &process);
    void run_operator();
    void run_late_operator();
    void drain_or_lend(Process &p);
    void run_path();
    void run_channel();
    void run_provider();
    void drain_far(int side);
    void run_idle_killer();
    void idle_kill(bool long_silent);
    void due_now();
    /// False: the fault makes no sense at this moment.
    bool strike();
    [[nodiscard]] bool can_strike() const;
    bool intrude(Process &victim);
    /// When the scenario's fault can do nothing any more: a kill of whoever is left.
    bool strike_instead();
    void kill(Process &victim);
    void cut(Process &victim);
    void judge(Scheduler::Stop why);
    [[nodiscard]] std::string blocked_for_nothing(const Process &process) const;

    bool warmed_up_ = false, overdue_ = false, deferred_ = false, intruded_ = false;
    uint32_t hits_ = 0, points_since_ = 0;
    int leaving_ = -1;
    uint64_t next_drain_ = 0;
    bool drains_now_ = false;
    bool provider_silent_ = false;
    bool channel_lost_ = false;  ///< To at least one of the two helpers.
};

}  // namespace sansock::simulation
