#include "socket/waiting.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/sysinfo.h>

#include <utility>

#include "base/guarded_copy.hpp"
#include "socket/courier.hpp"
#include "socket/epoll.hpp"
#include "socket/helper.hpp"
#include "socket/io.hpp"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

namespace sansock::socket {
namespace {

std::atomic<uint64_t> ticks_per_ms{2'000'000};  // until measured: a slow processor's
constexpr uint64_t kLookAgainNs = 50'000'000;
constexpr uint32_t kTogetherMin = 4, kTogetherSteps = 8;
constexpr uint64_t kPartPauseNs = 100'000, kPartPauseMaxNs = 1'000'000'000;  // doubled where it does not last
constexpr uint32_t kProcessorsMax = 1024;
std::atomic<uint32_t> processors{0};
constexpr uint32_t kProbeEvery = 16;
constexpr uint32_t kLongWaitNs = 1'000'000;    // longer waits say no more than this one
constexpr uint64_t kLostNs = 30'000;           // between two looks of a spin: the processor was somebody else's
constexpr uint64_t kContestedNs = 50'000'000;  // so long after that it counts as wanted by others
constexpr uint32_t kContestedSpinNs = 20'000;
std::atomic<uint64_t> contested_at{0};  // ticks

timespec timespec_of(uint64_t ns) { return {static_cast<time_t>(ns / 1'000'000'000u), static_cast<long>(ns % 1'000'000'000u)}; }

/// Sleeps until one of two words differs from what was seen. The deadline is absolute, so that a signal whose handler was installed
/// with SA_RESTART lets the call go on, as it does for a blocking read.
int sleep_on(const std::atomic<uint32_t> *first, uint32_t first_seen, const std::atomic<uint32_t> *second, uint32_t second_seen,
             uint64_t until_ns, bool interruptible, Undo *undo) {
    if (interruptible) {
        // SO_RCVTIMEO and SO_SNDTIMEO make a call end with EINTR whatever SA_RESTART says: the plain futex wait does that. It has one
        // word only, so it looks at the other now and then.
        const uint64_t now = now_ns();
        if (now >= until_ns) return -ETIMEDOUT;
        const timespec nap = timespec_of(std::min<uint64_t>(until_ns - now, kLookAgainNs));
        const auto rc = static_cast<int>(sleep_in(undo, SYS_futex, first, FUTEX_WAIT, first_seen, &nap));
        return rc == -ETIMEDOUT && now_ns() < until_ns ? 0 : rc;
    }
    struct {
        uint64_t value, address;
        uint32_t flags, reserved;
    } words[2] = {{first_seen, reinterpret_cast<uint64_t>(first), 2 /* FUTEX_32 */, 0},
                  {second_seen, reinterpret_cast<uint64_t>(second), 2, 0}};
    const timespec until = timespec_of(until_ns);
    const long rc = sleep_in(undo, SYS_futex_waitv, words, 2, 0, until_ns == kForever ? nullptr : &until, CLOCK_MONOTONIC);
    if (rc == -ENOSYS) {  // before Linux 5.16
        const timespec nap = timespec_of(1'000'000);
        return static_cast<int>(sleep_in(undo, SYS_futex, first, FUTEX_WAIT, first_seen, &nap));
    }
    return static_cast<int>(rc);
}

pthread_key_t waker_key;
thread_local uint16_t my_waker __attribute__((tls_model("initial-exec"))) = memory::kNoWaker;
thread_local int my_waker_pid __attribute__((tls_model("initial-exec"))) = 0;

/// Wake objects are for those that wait in poll and epoll, first of all.
constexpr uint32_t kListeningThreadsMax = memory::kWakeObjects / 4;
std::atomic<uint32_t> listening_threads{0};
thread_local bool may_listen __attribute__((tls_model("initial-exec"))) = false;

void thread_ends(void *) {
    if (std::exchange(may_listen, false)) listening_threads.fetch_sub(1, std::memory_order_relaxed);
    if (Process *process = Process::get(); process != nullptr && my_waker_pid == process->pid()) process->free_wake_object(my_waker);
    my_waker = memory::kNoWaker;
}

}  // namespace

uint64_t ticks_of_ns(uint64_t ns) { return ns * ticks_per_ms.load(std::memory_order_relaxed) / 1'000'000; }
uint64_t ns_of_ticks(uint64_t t) { return t * 1'000'000 / ticks_per_ms.load(std::memory_order_relaxed); }

ClockMeasurement::ClockMeasurement() : start_ns_(now_ns()), start_ticks_(ticks()) {}

void ClockMeasurement::finish() const {
    const timespec pause{0, 1'000'000};
    if (now_ns() - start_ns_ < 1'000'000) raw_syscall(SYS_nanosleep, &pause, nullptr);
    const uint64_t elapsed_ns = now_ns() - start_ns_;
    if (elapsed_ns > 0) ticks_per_ms.store((ticks() - start_ticks_) * 1'000'000 / elapsed_ns, std::memory_order_relaxed);
}

namespace {

/// How often this thread has gone to sleep in a row with its peer on the same processor, and when it may part from it again.
struct Together {
    uint32_t times;
    uint64_t may_part, pause;
};
thread_local Together together __attribute__((tls_model("initial-exec"))) = {};

/// Two threads that wake each other on one processor stay there, each asleep while the other runs, so that no balancer sees two, though the
/// next processor may be idle. One of them moves, by an affinity that is taken back at once. Only where the thread may run everywhere: what
/// it is given back is "everywhere", which it would keep in a cpuset that changes.
void part_from_peer() {
    const uint64_t now = ticks();
    // Were both as patient, both would go to the other processor.
    const uint32_t patience = kTogetherMin + 3 * ((thread_id() * 0x9e37'79b1u >> 16) % kTogetherSteps);
    if (++together.times < patience || now < together.may_part) return;
    const bool lasted = now - together.may_part > 4 * together.pause;
    const uint64_t pause = lasted ? ticks_of_ns(kPartPauseNs) : std::min(2 * together.pause, ticks_of_ns(kPartPauseMaxNs));
    together = {0, now + pause, pause};
    unsigned long mask[kProcessorsMax / 64] = {};
    const long size = raw_syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    uint32_t allowed = 0;
    for (long i = 0; i < size / 8; ++i) allowed += static_cast<uint32_t>(__builtin_popcountl(mask[i]));
    const uint32_t here = current_cpu();
    const uint32_t all = processors.load(std::memory_order_relaxed);
    if (size <= 0 || all < 2 || allowed < all || here >= kProcessorsMax) return;
    mask[here / 64] &= ~(1ul << here % 64);
    if (raw_syscall(SYS_sched_setaffinity, 0, size, mask) != 0) return;
    memset(mask, 0xff, sizeof mask);
    raw_syscall(SYS_sched_setaffinity, 0, sizeof mask, mask);
}

}  // namespace

void count_processors() { processors.store(static_cast<uint32_t>(get_nprocs()), std::memory_order_relaxed); }

Spin::Spin(SpinPolicy &policy, uint32_t longest_ns, bool peer_on_my_cpu)
    : policy_(policy), start_(ticks()), looked_(start_), longest_ns_(longest_ns) {
    const bool always = Process::get()->policy().spin_always;
    const bool contested = start_ - contested_at.load(std::memory_order_relaxed) < ticks_of_ns(kContestedNs);
    if (contested && !always) longest_ns_ = std::min(longest_ns_, kContestedSpinNs);
    bool pays = policy.mean_wait_ns <= longest_ns_ || always;
    if (!pays) {
        policy.probe = policy.probe + 1;
        pays = policy.probe % kProbeEvery == 0;
    }
    if (peer_on_my_cpu) {
        if (longest_ns != 0) part_from_peer();
        return;
    }
    together.times = 0;
    if (!pays) return;
    budget_ = ticks_of_ns(longest_ns_);
    lost_ = ticks_of_ns(kLostNs);
}

void Spin::lost_processor(uint64_t now) { contested_at.store(now, std::memory_order_relaxed); }

uint64_t note_sleep(uint64_t since_ticks) {
    const uint64_t slept_ns = ns_of_ticks(ticks() - since_ticks);
    Process::get()->tally().add_sleep(slept_ns);
    return slept_ns;
}

void Spin::learn() {
    const auto waited = static_cast<uint32_t>(std::min<uint64_t>(ns_of_ticks(ticks() - start_), kLongWaitNs));
    if (budget_ != 0 && waited <= longest_ns_ && policy_.mean_wait_ns > longest_ns_) {
        // A try that came off. Two ends that both sleep make each other's waits long: now both shall spin for some waits, and stay with it
        // if those are short. Where they are not, three or so cost a spin each.
        policy_.mean_wait_ns = longest_ns_ / 2;
        return;
    }
    policy_.learn(waited);
}

uint16_t thread_waker() {
    Process &process = *Process::get();
    if (my_waker != memory::kNoWaker && my_waker_pid == process.pid()) return my_waker;
    static ProcessLock lock;
    static bool keyed = false;
    {
        stream::Guard guard(lock);
        if (!keyed) keyed = pthread_key_create(&waker_key, thread_ends) == 0;
    }
    my_waker = process.new_wake_object();
    my_waker_pid = process.pid();
    if (my_waker != memory::kNoWaker && !process.tell_peers(my_waker)) {
        process.free_wake_object(my_waker);
        my_waker = memory::kNoWaker;
    }
    if (my_waker != memory::kNoWaker) pthread_setspecific(waker_key, &my_waker);
    return my_waker;
}

uint16_t listening_waker() {
    if (!may_listen && listening_threads.load(std::memory_order_relaxed) >= kListeningThreadsMax) return memory::kNoWaker;
    const uint16_t id = thread_waker();
    if (id != memory::kNoWaker && !std::exchange(may_listen, true)) listening_threads.fetch_add(1, std::memory_order_relaxed);
    return id;
}

void forget_listening_threads() { listening_threads.store(may_listen ? 1 : 0, std::memory_order_relaxed); }

bool is_my_waker(uint16_t id) { return id == my_waker && my_waker_pid == Process::get()->pid(); }

bool add_waker(Connection &connection, uint16_t id) {
    auto &wakers = connection.end().memory().mine->hot.wakers;
    for (const auto &entry : wakers) {
        const uint16_t known = entry.load(std::memory_order_relaxed);
        if (known == id || known == memory::kAnyWaker) return false;
    }
    stream::Guard guard(connection.items_lock);
    for (auto &entry : wakers) {
        if (entry.load(std::memory_order_relaxed) == memory::kNoWaker) {
            entry.store(id, std::memory_order_release);
            return true;
        }
    }
    wakers[memory::kWakersPerConnection - 1].store(memory::kAnyWaker, std::memory_order_release);
    return true;
}

void park(Process &process, uint16_t id) {
    uint32_t ticket = process.wake_object(id).ticket.fetch_add(1, std::memory_order_relaxed) + 1;
    if (ticket == 0) ticket = 1;
    for (Peer &peer : process.peers()) {
        if (peer.connections.load(std::memory_order_relaxed) == 0) continue;
        stream::Guard guard(peer.log_lock);
        if (peer.our_arenas.load(std::memory_order_acquire) != 0) peer.ours[0].header().parked[id].store(ticket, std::memory_order_relaxed);
    }
    full_fence();
}

void unpark(Process &process, uint16_t id) {
    for (Peer &peer : process.peers()) {
        if (peer.connections.load(std::memory_order_relaxed) == 0) continue;
        stream::Guard guard(peer.log_lock);
        if (peer.our_arenas.load(std::memory_order_acquire) != 0) peer.ours[0].header().parked[id].store(0, std::memory_order_relaxed);
    }
}

void wake_sleepers(Process &process, Peer &peer) {
    const uint64_t one = 1;
    stream::Guard guard(peer.log_lock);
    if (peer.our_arenas.load() == 0) return;
    for (uint16_t id = kHelperWaker + 1; id < memory::kWakeObjects; ++id) {
        if (peer.ours[0].header().parked[id].load(std::memory_order_relaxed) == 0) continue;
        if (!process.owns_wake_object(id)) continue;  // a relative's, whatever we have of that number
        raw_syscall(SYS_write, process.wake_object(id).fd.load(), &one, sizeof one);
        if (peer.told[id].load() == 0 && peer.alive.load()) Helper::tell_wake_object(peer, id, process.wake_object(id).fd.load());
    }
}

/// A forked child's first use of what its parent has: from now on somebody here watches for the peer's death.
static void take_over(Connection &connection) {
    const uint8_t what = connection.inherited.exchange(Connection::kNothing);
    if (what == Connection::kCourier || (what == Connection::kMemory && !Process::get()->start_helper())) {
        return_to_kernel(connection, stream::Reason::kSharedFd);
    } else if (what == Connection::kMemory) {
        Process::get()->submit(connection);
    }
}

void take_over_all(Process &process) {
    for (uint32_t i = 0; i < process.connections_used(); ++i) {
        Connection &connection = process.connection_at(i);
        if (connection.is_open() && connection.inherited.load(std::memory_order_relaxed) != Connection::kNothing) take_over(connection);
    }
}

void get_ready(Connection &connection) {
    if (__builtin_expect(connection.inherited.load(std::memory_order_relaxed) != Connection::kNothing, 0)) take_over(connection);
    const memory::Slot &mine = *connection.end().memory().mine;
    if (mine.cold.ready.load(std::memory_order_relaxed) == connection.shared->stream.epoch.load(std::memory_order_relaxed)) return;
    if (connection.shared->stream.lent.load(std::memory_order_relaxed) != 0) {  // perhaps by a sibling
        Process &process = *Process::get();
        if (!process.watches_lent()) process.watch_lent();
        return;
    }
    if (connection.end().peer_rests()) return;
    {
        stream::Guard guard(connection.items_lock);
        for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) {
            if (!item->live) continue;
            if (!cover(*item)) return;  // no wake object to be had: this connection stays on TCP
        }
    }
    if (!connection.goes_by_messages()) return connection.end().declare_ready();
    const uint32_t epoch = connection.shared->stream.epoch.load(std::memory_order_acquire);
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (courier == nullptr || !courier->carrier.is_of_epoch(epoch)) return;  // nothing to go by, for the moment or for good
    if (!courier->carrier.established()) {
        courier->awaited.store(true, std::memory_order_relaxed);
        full_fence();  // who establishes it looks at that afterwards
        if (!courier->carrier.established()) return;
    }
    connection.end().declare_ready(epoch);
    // A drain that began and ended meanwhile has taken the path away, of the same epoch: that must end.
    if (__builtin_expect(connection.courier.load(std::memory_order_acquire) != courier, 0))
        connection.end().step(stream::Reason::kProviderFailed, false);
}

/// Queues whatever is registered of a peer's connections.
static void queue_all(Process &process, Peer &peer) {
    for (uint32_t arena = 0; arena < peer.their_arenas.load(); ++arena) {
        for (auto &entry : peer.connection_of_slot[arena]) {
            if (const uint32_t index = entry.load(std::memory_order_acquire); index != 0) queue_items(process.connection_at(index - 1));
        }
    }
}

std::optional<uint32_t> glance(const Peer &peer, std::atomic<uint32_t> memory::Header::*word) {
    if (peer.connections.load(std::memory_order_relaxed) == 0) return {};
    const memory::Header *head = peer.their_head.load(std::memory_order_acquire);
    uint32_t value;
    if (head == nullptr || !guarded_copy(&value, &(head->*word), sizeof value)) return {};
    return value;
}

void pump(Process &process, bool before_sleep) {
    for (Peer &peer : process.peers()) {
        const auto written = glance(peer, &memory::Header::log_head);
        if (!written || *written == peer.log_read) continue;
        stream::Guard guard(peer.log_lock);
        if (peer.their_arenas.load(std::memory_order_acquire) == 0) continue;
        const memory::Header &head = peer.theirs[0].header();
        const uint32_t newest = head.log_head.load(std::memory_order_acquire);
        bool all_named = newest - peer.log_read <= memory::kLogEntries;  // or entries were overwritten before we came
        while (all_named && peer.log_read != newest) {
            const uint32_t entry = head.log[peer.log_read % memory::kLogEntries].load(std::memory_order_acquire);
            if (entry >> 16 != (peer.log_read & 0xffff)) {
                // Its number is taken, the entry not yet written, or never will be. What it tells of was published before the number was
                // taken, and whoever writes it may have found us awake: a sleeper must not wait for it.
                all_named = !before_sleep;
                break;
            }
            peer.log_read = peer.log_read + 1;
            const uint32_t slot = entry & 0xffff;
            if (slot >= kArenasPerPeer * memory::kSlotsPerArena) continue;
            const uint32_t index =
                peer.connection_of_slot[slot / memory::kSlotsPerArena][slot % memory::kSlotsPerArena].load(std::memory_order_acquire);
            if (index != 0) queue_items(process.connection_at(index - 1));
        }
        if (!all_named) {
            peer.log_read = newest;
            queue_all(process, peer);
        }
    }
}

namespace {

/// poll() ends for every handler; a read or write goes on after those that were installed with SA_RESTART.
bool goes_on_after_handler(uint64_t deadline_ns) {
    return deadline_ns == kForever && handlers_are_seen.load(std::memory_order_relaxed) && !interrupted;
}

void hear(int wake_object) {
    uint64_t count;
    raw_syscall(SYS_read, wake_object, &count, sizeof count);
}

}  // namespace

static int wait_on_tcp(Connection &connection, bool sending, uint64_t deadline_ns, Undo *outer) {
    Process &process = *Process::get();
    const uint16_t id = thread_waker();
    stream::End &end = connection.end();
    const uint32_t events_seen = connection.shared->stream.events.load(std::memory_order_acquire);
    if (id != memory::kNoWaker) add_waker(connection, id);
    Parking parking(outer, process, id);
    leave_to_helper(connection);
    carry(connection);
    get_ready(connection);
    int result = 0;
    interrupted = false;
    const memory::HotLine &peer = end.path().hot;
    const auto moved = [&] {
        return end.attention_pending() || connection.shared->stream.events.load() != events_seen ||
               (end.on_provider(sending) && !connection.shared->stream.out.stopped && !(sending && end.peer_is_dead())) ||
               (!sending && end.peer_ends_at(connection.shared->stream.in.in.load(std::memory_order_relaxed))) ||
               (!sending && peer.tail.load(std::memory_order_acquire) > connection.shared->stream.in.in.load() &&
                end.memory().peer->cold.switched.load() == connection.shared->stream.epoch.load() &&
                end.memory().mine->cold.frozen.load() != connection.shared->stream.epoch.load() &&
                end.memory().peer->cold.switched_at.load() == connection.shared->stream.in.in.load());
    };
    // A peer that publishes at this very moment may not see us parked: look once more, for then it is over.
    for (bool first = true; !moved(); first = false) {
        pollfd fds[2] = {{connection.fd.load(), static_cast<short>(sending ? POLLOUT : POLLIN | POLLRDHUP), 0},
                         {id == memory::kNoWaker ? -1 : process.wake_object(id).fd.load(), POLLIN, 0}};
        const bool held = sending && end.held_back();  // looked at once: what ends by itself must not end between two looks
        if (held || (!sending && end.awaits_end())) fds[0].fd = -1;
        const uint64_t now = now_ns();
        uint64_t left = deadline_ns == kForever ? kForever : deadline_ns > now ? deadline_ns - now : 0;
        if (end.stepping()) {
            left = std::min(left, kStepNapNs);
        } else if (held) {
            left = std::min(left, kHeldNapNs);
        }
        if (id == memory::kNoWaker) left = std::min(left, kHeldNapNs);
        if (first) left = std::min(left, kFirstSleepNs);
        timespec timeout = timespec_of(left);
        const long rc = sleep_in(&parking, SYS_ppoll, fds, 2, left == kForever ? nullptr : &timeout, nullptr, 8);
        if (rc == 0 && end.step_abandoned()) end.progress();
        if (rc == 0 && (deadline_ns == kForever || now_ns() < deadline_ns)) {
            if (first && id != memory::kNoWaker) continue;
            break;
        }
        if (rc == -EINTR && goes_on_after_handler(deadline_ns)) continue;
        if (rc == -EINTR) result = -EINTR;
        if (rc == 0) result = -EAGAIN;
        if ((fds[1].revents & POLLIN) != 0) hear(fds[1].fd);
        break;
    }
    return result;
}

namespace {

/// A thread announced as asleep until a count of the peer's moves.
class Announced final : public Undo {
public:
    Announced(Undo *outer, stream::State &state, std::atomic<uint32_t> &parked, uint32_t &sleepers)
        : Undo(outer), state_(state), parked_(parked), sleepers_(sleepers) {
        stream::Guard guard(state_.park_lock);
        ++sleepers_;
        take_ticket();
    }
    ~Announced() { Announced::undo(); }

    /// The wake for the ticket was for what was known already; the next one needs another.
    void renew() {
        {
            stream::Guard guard(state_.park_lock);
            take_ticket();
        }
        full_fence();
    }

private:
    void take_ticket() {
        state_.park_ticket = state_.park_ticket + 1 == 0 ? 1 : state_.park_ticket + 1;
        parked_.store(state_.park_ticket, std::memory_order_relaxed);
    }
    void undo() override {
        stream::Guard guard(state_.park_lock);
        if (--sleepers_ == 0) parked_.store(0, std::memory_order_relaxed);
    }
    stream::State &state_;
    std::atomic<uint32_t> &parked_;
    uint32_t &sleepers_;
};

constexpr int kVainWakesMax = 16;

/// Asleep until something comes over a path of messages that this thread attends to. 0, -EINTR, or -EAGAIN at the deadline. Nothing: it
/// cannot sleep so, for the queue does not become quiet, or is there no more.
template <class Happened>
std::optional<int> sleep_listening(Connection &connection, Listening &listening, uint16_t waker, uint64_t deadline_ns,
                                   Happened &&happened) {
    interrupted = false;
    // Who is on another host publishes nothing here: what comes from there a thread of ours has brought, behind a fence.
    bool looks_again = !connection.end().memory().far;
    for (int vain = 0; vain < kVainWakesMax;) {
        carry_before_sleep(connection);
        const int queue = listening.fd();
        if (happened()) return 0;
        if (queue < 0) break;
        if (interrupted) return -EINTR;
        pollfd fds[2] = {{queue, POLLIN, 0}, {Process::get()->wake_object(waker).fd.load(), POLLIN, 0}};
        const uint64_t now = now_ns();
        if (now >= deadline_ns) return -EAGAIN;
        const uint64_t left = std::min(deadline_ns == kForever ? kForever : deadline_ns - now, looks_again ? kFirstSleepNs : kForever);
        looks_again = false;
        const timespec timeout = timespec_of(left);
        const long rc = sleep_in(&listening, SYS_ppoll, fds, 2, left == kForever ? nullptr : &timeout, nullptr, 8);
        if (rc == -EINTR && !handlers_are_seen.load(std::memory_order_relaxed)) break;  // whose it was, the other sleep knows
        if (rc == -EINTR && !goes_on_after_handler(deadline_ns)) return -EINTR;
        if (rc == 0 || rc == -EINTR) continue;
        // A thread that is kept from its processor may have the carrier, and the descriptors may be no longer what they were.
        vain = rc < 0 || fds[0].revents != 0 || fds[1].revents != POLLIN ? vain + 1 : 0;
        if (fds[0].revents != 0) carry_notified(connection);
        if ((fds[1].revents & POLLIN) != 0) hear(fds[1].fd);
        if (happened()) return 0;
    }
    return {};
}

}  // namespace

int wait_for(Connection &connection, bool sending, uint64_t deadline_ns, uint64_t ahead, Undo *outer) {
    stream::End &end = connection.end();
    stream::State &state = connection.shared->stream;
    if (!end.on_provider(sending) || state.out.stopped || (sending && end.peer_is_dead())) {
        return wait_on_tcp(connection, sending, deadline_ns, outer);
    }

    const memory::HotLine &peer = end.path().hot;
    memory::HotLine &mine = end.memory().mine->hot;
    const std::atomic<uint64_t> &counter = sending ? peer.consumed : peer.tail;
    const uint32_t events_seen = state.events.load(std::memory_order_acquire);
    const uint64_t seen = counter.load(std::memory_order_acquire);
    // Has it moved since the call that could not go on looked at it?
    const uint64_t known = sending ? uint64_t{state.out.consumed} : state.in.in.load(std::memory_order_relaxed) + ahead;
    if (sending ? std::max<uint64_t>(seen, state.out.switched_at) != known : seen != known) return 0;
    if (!sending && end.peer_ends_at(known)) return 0;
    auto moved = [&] {
        return counter.load(std::memory_order_acquire) != seen || state.events.load(std::memory_order_acquire) != events_seen ||
               end.attention_pending();
    };
    if (end.peer_is_dead() || moved()) return 0;

    SpinPolicy &policy = sending ? connection.spin_out : connection.spin_in;
    // An answer that takes long is the helper's to wait for.
    const bool is_quick = policy.slept_ns < Attendance::kLookNs && connection.courier.load(std::memory_order_relaxed) != nullptr;
    const uint16_t waker = is_quick ? listening_waker() : memory::kNoWaker;
    const bool attends = waker != memory::kNoWaker && attend(connection);
    Spin spin(policy, Process::get()->policy().spin_ns_max, end.memory().peer->hot.cpu.load(std::memory_order_relaxed) == current_cpu());
    while (spin.again()) {
        carry(connection, false);
        if (moved()) {
            spin.learn();
            policy.slept_ns = 0;
            return 0;
        }
    }
    const uint64_t asleep_since = ticks();
    const auto happened = [&] { return moved() || end.peer_is_dead(); };
    Listening listening(outer, connection, attends ? waker : memory::kNoWaker);
    std::optional<int> listened;
    if (listening.fd() >= 0) listened = sleep_listening(connection, listening, waker, deadline_ns, happened);
    int result = listened.value_or(0);
    if (!listened) {
        Announced announced(&listening, state, sending ? mine.parked_out : mine.parked_in,
                            sending ? state.sleepers_out : state.sleepers_in);
        full_fence();
        leave_to_helper(connection);
        carry(connection);
        uint64_t until = std::min(deadline_ns, now_ns() + kFirstSleepNs);
        while (!happened()) {
            const int rc = sleep_on(low_word(counter), static_cast<uint32_t>(seen), &state.events, events_seen, until,
                                    deadline_ns != kForever, &announced);
            if (rc == -EINTR) {
                result = -EINTR;
                break;
            }
            if (rc == -ETIMEDOUT && until == deadline_ns) {
                result = -EAGAIN;
                break;
            }
            if (rc == -ETIMEDOUT) {
                until = deadline_ns;
            } else if (!moved()) {
                announced.renew();
            }
        }
    }
    spin.learn();
    policy.slept_ns = note_sleep(asleep_since);
    if (result < 0) carry(connection);  // the application goes elsewhere
    return moved() ? 0 : result;
}

}  // namespace sansock::socket
