// Waiting for a peer: spin while that pays, then sleep so that exactly the right sleeper is woken.
//
// A spinning waiter answers in under a microsecond and burns a CPU; a sleeping one costs two system calls and 10 us. Spinning pays
// only when the peer runs on another CPU right now and answers soon; on a busy machine a spinning waiter keeps the very
// peer off the CPU that it waits for. So: sleep at once when the peer last ran on our CPU, or when waits have lately been
// long (moving average), and try a spin once in a while to notice when that changes. And spin briefly where a spinning thread has lately
// lost the processor to somebody: what it burns there, others need.
#pragma once
#include <sys/time.h>

#include <optional>

#include "socket/process.hpp"
#include "socket/sleep.hpp"

namespace sansock::socket {

/// A sleeper that was missed looks again after this long; see the protocol's trap on publish-and-park.
inline constexpr uint64_t kFirstSleepNs = 4'000'000;
/// Who is held back, or cannot be woken, looks again after this long.
inline constexpr uint64_t kHeldNapNs = 1'000'000;
/// And who waits for the end of a STEP: the sibling that began it may be dead.
inline constexpr uint64_t kStepNapNs = 50'000'000;
inline constexpr uint64_t kForever = UINT64_MAX;

/// Looks how many processors there are. Where it is not called, threads stay where they are put.
void count_processors();

/// Learns how fast the processor's tick counter runs, from how far it comes between construction and finish().
class ClockMeasurement {
public:
    ClockMeasurement();
    /// Waits until a millisecond has passed, if it has not.
    void finish() const;

private:
    uint64_t start_ns_, start_ticks_;
};
uint64_t ticks_of_ns(uint64_t ns);
uint64_t ns_of_ticks(uint64_t ticks);
inline uint64_t to_ns(const timeval &t) {
    return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t.tv_usec) * 1'000u;
}

/// Decides about one wait, and learns from it.
class Spin {
public:
    Spin(SpinPolicy &policy, uint32_t longest_ns, bool peer_on_my_cpu);
    /// True while it is worth looking again.
    [[nodiscard]] bool again() {
        if (budget_ == 0) return false;
        cpu_relax();
        const uint64_t now = ticks();
        if (__builtin_expect(now - looked_ > lost_, 0)) lost_processor(now);
        looked_ = now;
        return now - start_ < budget_;
    }
    /// The wait is over.
    void learn();

private:
    void lost_processor(uint64_t now);
    SpinPolicy &policy_;
    uint64_t start_, looked_;
    uint64_t budget_ = 0;
    uint64_t lost_ = 0;
    uint32_t longest_ns_;
};

/// This thread has slept since then, on connections of which a provider carries one: for so many nanoseconds.
uint64_t note_sleep(uint64_t since_ticks);

/// Blocks until a direction of an attached connection deserves another look: for a receiver, until more than `ahead` bytes lie
/// before it. 0, -EINTR, or -EAGAIN at the deadline.
int wait_for(Connection &connection, bool sending, uint64_t deadline_ns, uint64_t ahead = 0, Undo *outer = nullptr);

/// The calling thread is in a blocking call on a connection.
class Waiting final : public Undo {
public:
    explicit Waiting(Connection &connection);
    ~Waiting() { Waiting::undo(); }
    /// The connection was closed before the thread was counted in, or without counting it.
    [[nodiscard]] bool is_too_late() const { return late_ || connection_.generation != generation_; }

private:
    void undo() override;
    Connection &connection_;
    uint32_t generation_;
    std::atomic<uint32_t> *place_ = nullptr;
    bool late_;
};

/// The wake object of the calling thread; kNoWaker when none can be had.
uint16_t thread_waker();
/// The same for a thread that listens to the queues of providers itself. kNoWaker: enough of them do.
uint16_t listening_waker();
/// In a child of fork, where there are none but this one.
void forget_listening_threads();
/// It is the calling thread's, which is awake.
bool is_my_waker(uint16_t id);
/// Adds a wake object to those that the peer notifies for this connection. False: it was among them.
bool add_waker(Connection &connection, uint16_t id);
/// Announces to all peers that a wake object is about to sleep; look again afterwards, then sleep, then call unpark().
void park(Process &process, uint16_t id);
void unpark(Process &process, uint16_t id);
/// The same for a scope. kNoWaker: nobody is told.
class Parking final : public Undo {
public:
    Parking(Undo *outer, Process &process, uint16_t id) : Undo(outer), process_(process), id_(id) {
        if (id_ != memory::kNoWaker) park(process_, id_);
    }
    ~Parking() { Parking::undo(); }

private:
    void undo() override {
        if (id_ != memory::kNoWaker) unpark(process_, id_);
    }
    Process &process_;
    uint16_t id_;
};

/// A forked child is about to wait on what it has from its parent.
void take_over_all(Process &process);
/// Makes every waiter of an attached connection cover the provider, then tells the peer that it may switch.
void get_ready(Connection &connection);
/// A word of the peer's activity log, for whoever passes by without a lock. Nothing: the peer is gone, or goes this very moment.
std::optional<uint32_t> glance(const Peer &peer, std::atomic<uint32_t> memory::Header::*word);
/// Reads the peers' activity logs and queues what they name. Before a sleep also what they are about to name.
void pump(Process &process, bool before_sleep);
/// Wakes whatever sleeps on connections of this peer.
void wake_sleepers(Process &process, Peer &peer);

// --- lifecycle.cpp ---
/// The application has let go of a descriptor that refers to `connection`; closes it in the kernel. The kernel's answer.
long close_descriptor(int fd, Connection &connection);
/// The same for one that dup2() is about to close.
void replace_descriptor(int fd, Connection &connection);
/// The same for one that was closed unseen: by fclose(), say.
void forget_descriptor(int fd, Connection &connection);
/// What is still lent: nothing; nothing that some other program was seen to hold, but once is not enough; or more.
enum class Lending { kOver, kSeemsOver, kLasts };
/// The helper: connections that no other program holds any more may leave TCP again.
Lending take_back_lent(Process &process);
/// This process is about to end. What it alone of its family holds, and another program has as well, is left in a state in which nobody
/// needs to be here.
void leave_lent(Process &process);
/// Whoever held up a close of the connection does so no longer.
void looked(Connection &connection, uint32_t generation);
/// A closed connection whose peer had not read everything: done by now?
void finish_lingering(Process &process, Connection &connection);
/// Connections that this process had let go of and its siblings had not: what it had for them goes with the last of those. True: some
/// are held still.
bool take_orphans_apart(Process &process);
/// The same for one that a sibling has ended, before its place is used anew. Under fd_lock.
void forget_orphan(Process &process, Connection &connection);
/// Gives everything of a dead peer back, once no connection needs it.
void expect_release(Process &process, Peer &peer);
/// The helper: releases those whose time has come. When there is more to do; UINT64_MAX: nothing.
uint64_t release_peers(Process &process);

}  // namespace sansock::socket
