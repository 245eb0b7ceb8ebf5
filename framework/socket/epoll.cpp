#include <poll.h>

#include <utility>

#include "base/guarded_copy.hpp"
#include "socket/courier.hpp"
#include "socket/epoll_items.hpp"
#include "socket/poll.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

constexpr uint32_t kKernelLookNs = 50'000;  ///< While user-space events keep coming, the kernel's are asked for this often.
constexpr uint32_t kFullAnswersMax = 8;     ///< An application that asks for few events at a time hears of the kernel's this often.

uint32_t as_epoll(short events) { return static_cast<uint16_t>(events); }

/// The events of an item as they stand; 0: none.
uint32_t evaluate(EpollItem &item) {
    Connection &connection = *item.connection;
    if (!item.live || item.generation != connection.generation) return 0;
    if (!in_user_space(connection)) {  // it may have gone back since the kernel was last told what to watch
        sync_kernel(item);
        return 0;
    }
    stream::End &end = connection.end();
    if (end.attention_pending() || end.step_abandoned()) end.progress();
    get_ready(connection);
    leave_to_helper(connection);
    carry(connection);
    sync_kernel(item);
    if (item.disarmed) return 0;
    short kernel = 0;
    if (!end.on_provider(false) || end.kernel_takes_output()) {
        // While one direction is the kernel's, ask it; a moment later it is not any more.
        pollfd fd{connection.fd.load(),
                  static_cast<short>(item.events & (POLLIN | POLLOUT | POLLRDHUP | POLLPRI | POLLRDNORM | POLLWRNORM)), 0};
        const timespec none{};
        raw_syscall(SYS_ppoll, &fd, 1, &none, nullptr, 8);
        kernel = fd.revents;
    }
    return as_epoll(end.events(kernel)) & (item.events | EPOLLERR | EPOLLHUP);
}

/// Looked at from here on. `name` tells later whether it is still the same item.
EpollItem *pop_ready(Epoll &epoll, uint32_t &name) {
    stream::Guard guard(epoll.lock);
    EpollItem *item = epoll.ready_head;
    if (item == nullptr) return nullptr;
    item->looked_at.fetch_add(1, std::memory_order_seq_cst);
    name = item->name.load(std::memory_order_relaxed);
    epoll.ready_head = item->next_ready;
    if (epoll.ready_head == nullptr) epoll.ready_tail = nullptr;
    item->queued.store(false, std::memory_order_release);
    return item;
}

/// The end of a look.
class Look {
public:
    Look(Process &process, EpollItem &item) : process_(process), item_(item) {}
    ~Look() { process_.done_looking(item_); }
    Look(const Look &) = delete;
    Look &operator=(const Look &) = delete;

private:
    Process &process_;
    EpollItem &item_;
};

/// What one epoll_wait answers. As in the kernel, a descriptor stands in it once, though it may change sides meanwhile.
struct Answer {
    epoll_event *events;
    int size;
    uint64_t call = ticks();  ///< Names the call: two in the same tick at worst merge what they would both have told.
    int count = 0;

    [[nodiscard]] int room() const { return size - count; }
    void tell(EpollItem &item, uint32_t found) {
        for (int i = count; item.told == call && i-- > 0;) {
            if (events[i].data.u64 != item.data) continue;
            events[i].events |= found;
            return;
        }
        item.told = call;
        events[count].events = found;
        events[count++].data.u64 = item.data;
    }
};

/// How far the ends of both streams have come.
uint32_t ends_of(stream::End &end) {
    const stream::State &state = end.state();
    const uint32_t ours = (state.in.rd_shut ? 1u : 0u) | (state.out.fin ? 2u : 0u), theirs = end.peer_finished() ? 4u : 0u;
    return ours | theirs | state.tcp_ended.load(std::memory_order_relaxed) << 3;
}

/// Where it shows that bytes have come.
uint64_t tail_of(const stream::End &end) {
    return (end.memory().far ? end.path() : *end.memory().peer).hot.tail.load(std::memory_order_relaxed);
}

/// An edge is told of events that were not there before, of bytes that came, of room after something was sent, and of every end.
bool is_edge(const EpollItem &item, uint32_t found) {
    stream::End &end = item.connection->end();
    if (!end.on_provider(false) || end.kernel_takes_output()) return true;
    return found != item.told_events || tail_of(end) != item.told_tail ||
           end.state().out.out.load(std::memory_order_relaxed) != item.told_out || ends_of(end) != item.told_ends;
}

/// What an item has to tell, in the way that the application asked for; 0: nothing.
uint32_t news_of(Epoll &epoll, EpollItem &item) {
    full_fence();  // whoever queues it again from here on has something that we may not have seen
    const uint32_t found = evaluate(item);
    if ((item.events & ~found & EPOLLOUT) != 0 && in_user_space(*item.connection)) {
        if (!item.blocked) {
            item.blocked = true;
            epoll.blocked = true;
        }
        if (item.connection->end().holding()) epoll.held = true;
    } else {
        item.blocked = false;
    }
    if (found == 0) {
        item.told_events = 0;
        return 0;
    }
    return (item.events & EPOLLET) == 0 || is_edge(item, found) ? found : 0;
}

void take_note(EpollItem &item, uint32_t found) {
    stream::End &end = item.connection->end();
    item.told_events = found;
    item.told_tail = tail_of(end);
    item.told_out = end.state().out.out.load(std::memory_order_relaxed);
    item.told_ends = ends_of(end);
}

/// Takes items with events from the ready queue. Level-triggered ones go back to its end. No lock is held while an item is
/// looked at, for that may queue items.
void collect(Epoll &epoll, Process &process, Answer &answer) {
    const EpollItem *const last = epoll.ready_tail;
    const EpollItem *first_back = nullptr;  // where the queue is back at its beginning, should another thread take `last`
    while (answer.room() > 0) {
        uint32_t name = 0;
        EpollItem *item = pop_ready(epoll, name);
        if (item == nullptr) break;
        const Look look(process, *item);
        const uint32_t found = news_of(epoll, *item);
        // With EPOLLONESHOT one thread alone is told, though another may have taken the item from the queue meanwhile.
        const bool once = found != 0 && (item->events & EPOLLONESHOT) != 0;
        const bool told_already = once && item->disarmed.exchange(true);
        if (once) sync_kernel(*item);
        if (found != 0 && !told_already) {
            answer.tell(*item, found);
            if ((item->events & EPOLLET) != 0) take_note(*item, found);
            if ((item->events & (EPOLLET | EPOLLONESHOT)) == 0) {
                queue_item(epoll, *item, name);
                if (item == first_back) break;
                if (first_back == nullptr) first_back = item;
            }
        }
        if (item == last) break;
    }
}

/// Takes over events that the kernel has put behind those of the answer: the application's own as they are, ours translated or
/// dropped; those of a connection that is about to leave the kernel are looked at here.
void translate(Epoll &epoll, Process &process, Answer &answer, int found_by_kernel) {
    const epoll_event *const raw = answer.events + answer.count;
    epoll.kernel_looked = ticks();
    bool queued = false;
    for (int i = 0; i < found_by_kernel; ++i) {
        const epoll_event event = raw[i];
        const uint64_t data = event.data.u64;
        if ((data & kOursMask) != kOurs) {
            answer.events[answer.count++] = event;
            epoll.kernel_looked = 0;
            continue;
        }
        const auto name = static_cast<uint32_t>(data);
        EpollItem *found = name == kWakeUp ? nullptr : process.look_at(name);
        if (found == nullptr) continue;
        EpollItem &item = *found;
        const Look look(process, item);
        if (item.epoll != &epoll) continue;
        if (item.inner != nullptr) {
            if (readable(*item.inner)) {
                answer.tell(item, event.events);
            } else if ((item.events & EPOLLONESHOT) != 0) {
                kernel_control(epoll, EPOLL_CTL_MOD, item, item.events);  // it has not fired
            }
            continue;
        }
        if (!item.live) {
            settle_dead(item);
            continue;
        }
        if (in_user_space(*item.connection)) {
            queue_item(epoll, item, name);
            queued = true;
            continue;
        }
        sync_kernel(item);  // the registration may be from when it was elsewhere
        const uint32_t told = event.events & (item.events | EPOLLERR | EPOLLHUP);
        if (told == 0 || item.disarmed) continue;
        item.disarmed = (item.events & EPOLLONESHOT) != 0;
        answer.tell(item, told);
    }
    if (queued) collect(epoll, process, answer);
}

int kernel_wait_now(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask, Undo *undo) {
    if (timeout_ns == 0 || timeout_ns == kForever || timeout_ns % 1'000'000 == 0) {
        const int ms = timeout_ns == kForever ? -1 : static_cast<int>(std::min<uint64_t>(timeout_ns / 1'000'000, INT32_MAX));
        if (mask == nullptr) return static_cast<int>(sleep_in(undo, SYS_epoll_wait, epoll.fd, events, size, ms));
        return static_cast<int>(sleep_in(undo, SYS_epoll_pwait, epoll.fd, events, size, ms, mask, 8));
    }
    const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000u), static_cast<long>(timeout_ns % 1'000'000'000u)};
    return static_cast<int>(sleep_in(undo, SYS_epoll_pwait2, epoll.fd, events, size, &timeout, mask, 8));
}

/// A thread in the kernel's wait.
class Asleep final : public Undo {
public:
    Asleep(Undo *outer, Epoll &epoll) : Undo(outer), epoll_(epoll) { epoll_.asleep.fetch_add(1, std::memory_order_seq_cst); }
    ~Asleep() { Asleep::undo(); }

private:
    void undo() override { epoll_.asleep.fetch_sub(1, std::memory_order_release); }
    Epoll &epoll_;
};

int kernel_wait(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask, Undo *outer) {
    if (timeout_ns == 0) return kernel_wait_now(epoll, events, size, 0, mask, outer);
    Asleep asleep(outer, epoll);
    const bool late = epoll.attached.load(std::memory_order_acquire) != 0 && epoll.ready_head != nullptr;
    return kernel_wait_now(epoll, events, size, late ? 0 : timeout_ns, mask, &asleep);
}

/// A thread that is about to sleep on the instance. Another one may sleep on already: the last that leaves takes the announcement back.
class EpollParking final : public Undo {
public:
    EpollParking(Undo *outer, Process &process, Epoll &epoll, bool sleeps)
        : Undo(outer), process_(process), epoll_(epoll), announced_(sleeps && epoll.waker != memory::kNoWaker) {
        if (!announced_) return;
        stream::Guard guard(epoll_.park_lock);
        ++epoll_.parked;
        park(process_, epoll_.waker);
    }
    ~EpollParking() { EpollParking::undo(); }

private:
    void undo() override {
        if (!announced_) return;
        stream::Guard guard(epoll_.park_lock);
        if (--epoll_.parked == 0) {
            unpark(process_, epoll_.waker);
        } else {
            park(process_, epoll_.waker);  // the wake that the last ticket was for may have been ours
        }
    }
    Process &process_;
    Epoll &epoll_;
    const bool announced_;
};

bool someone_on_my_cpu(Process &process) {
    // Any peer thread that last ran here would be kept off the CPU by our spinning.
    const uint32_t me = current_cpu();
    for (const Peer &peer : process.peers()) {
        if (glance(peer, &memory::Header::cpu) == me) return true;
    }
    return false;
}

}  // namespace

/// Adds what the kernel has to tell at once.
static void look_at_kernel(Epoll &epoll, Process &process, Answer &answer) {
    if (answer.room() == 0) return;
    translate(epoll, process, answer, kernel_wait_now(epoll, answer.events + answer.count, answer.room(), 0, nullptr, nullptr));
}

/// Connections come before the kernel's descriptors, and often there is no time, or no room, for those: let none of them wait for long.
static bool answer_is_due(Epoll &epoll, Process &process, Answer &answer) {
    if (answer.count == 0) return false;
    if (answer.room() == 0) {
        epoll.full_answers = epoll.full_answers + 1;
        return true;
    }
    epoll.full_answers = 0;
    if (ticks() - epoll.kernel_looked > ticks_of_ns(kKernelLookNs)) {
        look_at_kernel(epoll, process, answer);
    }
    return true;
}

/// Nothing in it is in user space.
static bool is_all_kernels(const Epoll &epoll) {
    return epoll.attached.load(std::memory_order_acquire) == 0 && epoll.ready_head == nullptr &&
           epoll.sets.load(std::memory_order_relaxed) == 0;
}

static int wait_both(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask) {
    Process &process = *Process::get();
    if (__builtin_expect(epoll.inherited, 0)) {
        epoll.inherited = false;
        take_over_all(process);
    }
    if (size <= 0) return kernel_wait_now(epoll, events, size, timeout_ns, mask, nullptr);
    if (!guarded_copy(events, events, sizeof *events)) {  // wrong only once there is something to tell
        pollfd set{epoll.fd, POLLIN, 0};
        const int rc = poll_both(&set, 1, timeout_ns, mask);
        return rc > 0 ? -EFAULT : rc;
    }
    Answer answer{events, size};
    if (is_all_kernels(epoll)) {  // as long as nothing has moved, this is all
        const uint64_t start = ticks();
        const int found = kernel_wait(epoll, events, size, timeout_ns, mask, nullptr);
        if (found <= 0) return found;
        translate(epoll, process, answer, found);
        if (answer.count > 0 || timeout_ns == 0) return answer.count;
        // Only a wake-up: connections have been attached meanwhile.
        if (timeout_ns != kForever) timeout_ns -= std::min(timeout_ns, ns_of_ticks(ticks() - start));
    }
    const uint64_t deadline = timeout_ns == 0 || timeout_ns == kForever ? timeout_ns : now_ns() + timeout_ns;
    if (epoll.full_answers >= kFullAnswersMax) {
        epoll.full_answers = 0;
        look_at_kernel(epoll, process, answer);
    }
    for (;;) {
        const bool holds_sets = epoll.sets.load(std::memory_order_relaxed) != 0;
        if (is_all_kernels(epoll) && answer.count == 0) {
            const uint64_t now = deadline == 0 || deadline == kForever ? 0 : now_ns();
            const uint64_t left = now == 0 ? deadline : deadline > now ? deadline - now : 0;
            const int found = kernel_wait(epoll, events, size, left, mask, nullptr);
            if (found <= 0) return found;
            translate(epoll, process, answer, found);
            if (answer.count > 0) return answer.count;
            if (deadline == 0 || (deadline != kForever && now_ns() >= deadline)) return 0;
            continue;  // only a wake-up: connections have been attached meanwhile
        }
        pump(process, false);
        collect(epoll, process, answer);
        if (answer_is_due(epoll, process, answer)) return answer.count;
        if (deadline != 0 && !holds_sets) {
            Spin spin(epoll.spin, process.policy().spin_ns_max, someone_on_my_cpu(process));
            bool moved = false;
            while (!moved && spin.again()) {
                pump(process, false);
                moved = epoll.ready_head != nullptr;
            }
            if (moved) collect(epoll, process, answer);
            if (answer.count > 0) spin.learn();
            if (answer_is_due(epoll, process, answer)) return answer.count;
        }
        bool first_nap = false;
        {
            Spin sleep_meter(epoll.spin, 0, true);
            EpollParking parking(nullptr, process, epoll, deadline != 0);
            if (deadline != 0) pump(process, true);
            const bool inner_blocked = holds_sets && refresh_sets(process);
            uint64_t left = 0;
            if (deadline == kForever) {
                left = kForever;
            } else if (deadline != 0) {
                const uint64_t at = now_ns();
                left = deadline > at ? deadline - at : 0;
            }
            first_nap = (epoll.blocked || epoll.held || inner_blocked) && left > kFirstSleepNs;
            if (first_nap) left = kFirstSleepNs;
            if (epoll.ready_head != nullptr) left = 0;
            const uint64_t asleep_since = ticks();
            const int found = kernel_wait(epoll, events, size, left, mask, &parking);
            if (deadline != 0) {
                sleep_meter.learn();
                note_sleep(asleep_since);
            }
            if (found < 0) return found;
            translate(epoll, process, answer, found);
        }
        pump(process, true);
        collect(epoll, process, answer);
        if (answer.count > 0) return answer.count;
        if (first_nap) {
            // Somebody who waits for room may have been missed: look at everything once, then sleep for good, unless time alone helps.
            epoll.blocked = false;
            epoll.held = false;
            process.queue_blocked(epoll);
            continue;
        }
        if (deadline == 0) return 0;
        if (deadline != kForever && now_ns() >= deadline) return 0;
    }
}

int epoll_wait_both(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask) {
    const int count = wait_both(epoll, events, size, timeout_ns, mask);
    if (epoll.nested.load(std::memory_order_relaxed)) readable(epoll);
    return count;
}

bool has_news(Epoll &epoll) {
    const EpollItem *const last = epoll.ready_tail;
    for (;;) {
        uint32_t name = 0;
        EpollItem *item = pop_ready(epoll, name);
        if (item == nullptr) return false;
        const Look look(*Process::get(), *item);
        if (news_of(epoll, *item) != 0) {
            queue_item(epoll, *item, name);
            return true;
        }
        if (item == last) return false;
    }
}

}  // namespace sansock::socket
