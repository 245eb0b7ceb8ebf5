#include "socket/epoll.hpp"

#include <poll.h>

#include "base/guarded_copy.hpp"
#include "socket/courier.hpp"
#include "socket/helper.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

// What the kernel hands back for registrations that we made: no address and no small number has these top bits.
constexpr uint64_t kOurs = 0xa5c3'5a53'0000'0000u;
constexpr uint64_t kOursMask = 0xffff'ffff'0000'0000u;
constexpr uint32_t kWakeUp = 0xffff'ffffu;
constexpr uint32_t kKernelLookNs = 50'000;  ///< While user-space events keep coming, the kernel's are asked for this often.
constexpr uint32_t kWithExclusive = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

bool in_user_space(const Connection &connection) {
    const Phase phase = connection.phase();
    return connection.mapped.load(std::memory_order_acquire) && (phase == Phase::kAttached || phase == Phase::kLingering);
}

long kernel_control(Epoll &epoll, int operation, EpollItem &item, uint32_t events) {
    epoll_event event{events, {.u64 = kOurs | item.name}};
    const long rc = raw_syscall(SYS_epoll_ctl, epoll.fd, operation, item.fd, &event);
    if (rc == 0) {
        item.in_kernel = operation != EPOLL_CTL_DEL;
        item.kernel_events = events;
    }
    return rc;
}

/// What the kernel must watch for this item: everything while the connection is its own; the end of the TCP connection always.
uint32_t kernel_share(EpollItem &item) {
    Connection &connection = *item.connection;
    if (!in_user_space(connection)) return item.disarmed ? 0 : item.events;
    stream::End &end = connection.end();
    const bool in = end.on_provider(false), out = end.on_provider(true);
    if (!in && !out) return item.events;
    if (in && out) return EPOLLRDHUP | EPOLLET;
    const uint32_t from_kernel = (in ? 0 : EPOLLIN | EPOLLPRI | EPOLLRDNORM) | (out ? 0 : EPOLLOUT | EPOLLWRNORM);
    return (item.events & (from_kernel | EPOLLRDHUP | EPOLLET)) | EPOLLRDHUP;
}

void sync_kernel(EpollItem &item) {
    if (!item.live || !item.in_kernel) return;
    const uint32_t wanted = kernel_share(item);
    if (wanted != item.kernel_events) kernel_control(*item.epoll, EPOLL_CTL_MOD, item, wanted);
}

EpollItem *find_item(Epoll &epoll, Connection &connection, int fd) {
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) {
        if (item->epoll == &epoll && item->fd == fd) return item;
    }
    return nullptr;
}

uint32_t as_epoll(short events) { return static_cast<uint16_t>(events); }

/// The events of an item as they stand; 0: none.
uint32_t evaluate(EpollItem &item) {
    Connection &connection = *item.connection;
    if (!item.live || item.generation != connection.generation || !in_user_space(connection)) return 0;
    stream::End &end = connection.end();
    if (end.attention_pending()) end.progress();
    get_ready(connection);
    carry(connection);
    sync_kernel(item);
    if (item.disarmed) return 0;
    short kernel = 0;
    if (!end.on_provider(false) || !end.on_provider(true)) {
        // While one direction is the kernel's, ask it; a moment later it is not any more.
        pollfd fd{connection.fd.load(std::memory_order_relaxed), static_cast<short>(item.events & (POLLIN | POLLOUT | POLLRDHUP | POLLPRI)), 0};
        const timespec none{};
        raw_syscall(SYS_ppoll, &fd, 1, &none, nullptr, 8);
        kernel = fd.revents;
    }
    return as_epoll(end.events(kernel)) & (item.events | EPOLLERR | EPOLLHUP);
}

EpollItem *pop_ready(Epoll &epoll) {
    stream::Guard guard(epoll.lock);
    EpollItem *item = epoll.ready_head;
    if (item == nullptr) return nullptr;
    epoll.ready_head = item->next_ready;
    if (epoll.ready_head == nullptr) epoll.ready_tail = nullptr;
    item->queued.store(false, std::memory_order_release);
    return item;
}

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

/// Takes items with events from the ready queue. Level-triggered ones go back to its end. No lock is held while an item is
/// looked at, for that may queue items.
void collect(Epoll &epoll, Answer &answer) {
    const EpollItem *const last = epoll.ready_tail;
    const EpollItem *first_back = nullptr;  // where the queue is back at its beginning, should another thread take `last`
    while (answer.room() > 0) {
        EpollItem *item = pop_ready(epoll);
        if (item == nullptr) break;
        full_fence();  // whoever queues it again from here on has something that we may not have seen
        const uint32_t found = evaluate(*item);
        if (found != 0) {
            answer.tell(*item, found);
            if ((item->events & EPOLLONESHOT) != 0) {
                item->disarmed = true;
            } else if ((item->events & EPOLLET) == 0) {
                queue_item(*item);
                if (item == first_back) break;
                if (first_back == nullptr) first_back = item;
            }
        } else if ((item->events & EPOLLOUT) != 0) {
            epoll.blocked = true;
        }
        if (item == last) break;
    }
}

/// Takes over events that the kernel has put behind those of the answer: the application's own as they are, ours translated or
/// dropped.
void translate(Epoll &epoll, Process &process, Answer &answer, int found_by_kernel) {
    const epoll_event *const raw = answer.events + answer.count;
    for (int i = 0; i < found_by_kernel; ++i) {
        const epoll_event event = raw[i];
        const uint64_t data = event.data.u64;
        if ((data & kOursMask) != kOurs) {
            answer.events[answer.count++] = event;
            continue;
        }
        const auto name = static_cast<uint32_t>(data);
        EpollItem *found = name == kWakeUp ? nullptr : process.item_named(name);
        if (found == nullptr || found->epoll != &epoll) continue;
        EpollItem &item = *found;
        if (in_user_space(*item.connection)) {
            queue_item(item);
            continue;
        }
        item.disarmed = (item.events & EPOLLONESHOT) != 0;
        answer.tell(item, event.events);
    }
}

int kernel_wait_now(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask, Undo *undo = nullptr) {
    if (timeout_ns == 0 || timeout_ns == kForever || timeout_ns % 1'000'000 == 0) {
        const int ms = timeout_ns == kForever ? -1 : static_cast<int>(std::min<uint64_t>(timeout_ns / 1'000'000, INT32_MAX));
        return static_cast<int>(sleep_in(undo, SYS_epoll_pwait, epoll.fd, events, size, ms, mask, 8));
    }
    const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000u), static_cast<long>(timeout_ns % 1'000'000'000u)};
    return static_cast<int>(sleep_in(undo, SYS_epoll_pwait2, epoll.fd, events, size, &timeout, mask, 8));
}

/// A thread in the kernel's wait.
class Asleep final : public Undo {
public:
    explicit Asleep(Epoll &epoll) : Undo(nullptr), epoll_(epoll) { epoll_.asleep.fetch_add(1, std::memory_order_seq_cst); }
    ~Asleep() { Asleep::undo(); }

private:
    void undo() override { epoll_.asleep.fetch_sub(1, std::memory_order_release); }
    Epoll &epoll_;
};

int kernel_wait(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask) {
    if (timeout_ns == 0) return kernel_wait_now(epoll, events, size, 0, mask);
    Asleep asleep(epoll);
    const bool late = epoll.attached.load(std::memory_order_acquire) != 0 && epoll.ready_head != nullptr;
    return kernel_wait_now(epoll, events, size, late ? 0 : timeout_ns, mask, &asleep);
}

void wake(Process &process, Epoll &epoll) {
    const uint64_t one = 1;
    if (epoll.waker != memory::kNoWaker) raw_syscall(SYS_write, process.wake_object(epoll.waker).fd.load(), &one, sizeof one);
}

bool someone_on_my_cpu(Process &process) {
    // Any peer thread that last ran here would be kept off the CPU by our spinning.
    const uint32_t me = current_cpu();
    for (Peer &peer : process.peers()) {
        if (peer.connections.load(std::memory_order_relaxed) == 0 || peer.their_arenas.load(std::memory_order_acquire) == 0) continue;
        if (peer.theirs[0].header().cpu.load(std::memory_order_relaxed) == me) return true;
    }
    return false;
}

}  // namespace

void queue_item(EpollItem &item) {
    if (item.queued.exchange(true, std::memory_order_acq_rel)) return;
    Epoll &epoll = *item.epoll;
    {
        stream::Guard guard(epoll.lock);
        item.next_ready = nullptr;
        (epoll.ready_tail != nullptr ? epoll.ready_tail->next_ready : epoll.ready_head) = &item;
        epoll.ready_tail = &item;
    }
    // The lock's release and this load are ordered by the exchange above and the sleeper's fence: it sees the item, or we see it.
    if (epoll.asleep.load(std::memory_order_seq_cst) != 0) wake(*Process::get(), epoll);
}

void queue_items(Connection &connection) {
    stream::Guard guard(connection.items_lock);
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) queue_item(*item);
}

bool cover(EpollItem &item) {
    Process &process = *Process::get();
    Epoll &epoll = *item.epoll;
    if (epoll.waker == memory::kNoWaker) {
        const uint16_t id = process.new_wake_object();
        if (id == memory::kNoWaker) return false;
        epoll_event event{EPOLLIN | EPOLLET, {.u64 = kOurs | kWakeUp}};
        raw_syscall(SYS_epoll_ctl, epoll.fd, EPOLL_CTL_ADD, process.wake_object(id).fd.load(), &event);
        epoll.waker = id;
    }
    Peer &peer = *item.connection->peer;
    if (peer.told[epoll.waker].load(std::memory_order_relaxed) == 0) Helper::tell_wake_object(peer, epoll.waker, process.wake_object(epoll.waker).fd.load());
    auto &hot = item.connection->end().memory().mine->hot;
    hot.in_log.store(1, std::memory_order_relaxed);
    bool listed = false;
    for (auto &entry : hot.wakers) {
        const uint16_t id = entry.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker) entry.store(epoll.waker, std::memory_order_release);
        if (id == memory::kNoWaker || id == epoll.waker) {
            listed = true;
            break;
        }
    }
    if (!listed) hot.wakers[memory::kWakersPerConnection - 1].store(memory::kAnyWaker, std::memory_order_release);
    if (!item.covered) {
        item.covered = true;
        epoll.attached.fetch_add(1, std::memory_order_relaxed);
        queue_item(item);
    }
    return true;
}

int epoll_control(Epoll &epoll, int operation, int fd, Connection &connection, epoll_event *event) {
    Process &process = *Process::get();
    epoll_event asked{};
    if (operation != EPOLL_CTL_DEL && !guarded_copy(&asked, event, sizeof asked)) return -EFAULT;
    stream::Guard guard(connection.items_lock);
    EpollItem *item = find_item(epoll, connection, fd);
    const bool exists = item != nullptr && item->live;
    switch (operation) {
        case EPOLL_CTL_ADD: {
            if ((asked.events & EPOLLEXCLUSIVE) != 0 && (asked.events & ~kWithExclusive) != 0) return -EINVAL;
            if (exists) return -EEXIST;
            if (item == nullptr) {
                item = process.new_item();
                if (item == nullptr) return -ENOMEM;
                item->epoll = &epoll;
                item->connection = &connection;
                item->generation = connection.generation;
                item->fd = fd;
                item->next_of_connection = connection.items.load();
                connection.items.store(item, std::memory_order_release);
                epoll.items.fetch_add(1, std::memory_order_relaxed);
            }
            break;
        }
        case EPOLL_CTL_MOD:
            if (!exists) return -ENOENT;
            if (((item->events | asked.events) & EPOLLEXCLUSIVE) != 0) return -EINVAL;
            break;
        case EPOLL_CTL_DEL:
            if (!exists) return -ENOENT;
            item->live = false;
            // A program that adds and removes for every request must not pay the kernel for it: what the kernel still
            // watches, the end of the TCP connection, it tells once.
            if (item->in_kernel && !(in_user_space(connection) && item->kernel_events == (EPOLLRDHUP | EPOLLET))) {
                return static_cast<int>(kernel_control(epoll, EPOLL_CTL_DEL, *item, 0));
            }
            return 0;
        default: return -EINVAL;
    }
    const uint32_t events_before = item->events;
    item->events = asked.events;
    item->data = asked.data.u64;
    item->disarmed = false;
    item->live = true;
    const uint32_t share = kernel_share(*item);
    if (!item->in_kernel || share != item->kernel_events || !in_user_space(connection)) {
        const long rc = kernel_control(epoll, item->in_kernel ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, *item, share);
        if (rc < 0) {
            item->live = exists;
            item->events = events_before;
            return static_cast<int>(rc);
        }
    }
    if (in_user_space(connection)) {
        if (!item->covered && !cover(*item)) return -ENOMEM;
        queue_item(*item);
    }
    return 0;
}

/// Adds what the kernel has to tell at once.
static void look_at_kernel(Epoll &epoll, Process &process, Answer &answer) {
    if (answer.room() == 0) return;
    epoll.kernel_looked = ticks();
    const int found = kernel_wait(epoll, answer.events + answer.count, answer.room(), 0, nullptr);
    if (found > 0) translate(epoll, process, answer, found);
}

static int wait_both(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask) {
    Process &process = *Process::get();
    // What the kernel would refuse is the kernel's to refuse.
    if (size <= 0 || !guarded_copy(events, events, sizeof *events)) return kernel_wait_now(epoll, events, size, timeout_ns, mask);
    const uint64_t deadline = timeout_ns == 0 || timeout_ns == kForever ? timeout_ns : now_ns() + timeout_ns;
    Answer answer{events, size};
    for (;;) {
        if (epoll.attached.load(std::memory_order_acquire) == 0 && epoll.ready_head == nullptr) {
            const uint64_t now = deadline == 0 || deadline == kForever ? 0 : now_ns();
            const uint64_t left = now == 0 ? deadline : deadline > now ? deadline - now : 0;
            const int found = kernel_wait(epoll, events, size, left, mask);
            if (found <= 0) return found;
            translate(epoll, process, answer, found);
            if (answer.count > 0) return answer.count;
            continue;  // only a wake-up: connections have been attached meanwhile
        }
        pump(process);
        collect(epoll, answer);
        const bool look_due = ticks() - epoll.kernel_looked > ticks_of_ns(kKernelLookNs);
        if (answer.count > 0) {
            if (look_due) look_at_kernel(epoll, process, answer);
            return answer.count;
        }
        if (deadline != 0) {
            Spin spin(epoll.spin, process.policy().spin_ns_max, someone_on_my_cpu(process));
            bool moved = false;
            while (!moved && spin.again()) {
                pump(process);
                moved = epoll.ready_head != nullptr;
            }
            if (moved) collect(epoll, answer);
            if (answer.count > 0) {
                spin.learn();
                if (look_due) look_at_kernel(epoll, process, answer);
                return answer.count;
            }
        }
        Spin sleep_meter(epoll.spin, 0, true);
        if (deadline != 0) {
            park(process, epoll.waker);
            pump(process);
        }
        uint64_t left = 0;
        if (deadline == kForever) {
            left = kForever;
        } else if (deadline != 0) {
            const uint64_t at = now_ns();
            left = deadline > at ? deadline - at : 0;
        }
        const bool first_nap = epoll.blocked && left > kFirstSleepNs;
        if (first_nap) left = kFirstSleepNs;
        if (epoll.ready_head != nullptr) left = 0;
        const int found = kernel_wait(epoll, events, size, left, mask);
        epoll.kernel_looked = ticks();
        if (deadline != 0) {
            unpark(process, epoll.waker);
            sleep_meter.learn();
        }
        if (found < 0) return found;
        translate(epoll, process, answer, found);
        pump(process);
        collect(epoll, answer);
        if (answer.count > 0) return answer.count;
        if (first_nap) {
            // Somebody who waits for room may have been missed: look at everything once, then sleep for good.
            epoll.blocked = false;
            process.queue_all(epoll);
            continue;
        }
        if (deadline == 0) return 0;
        if (deadline != kForever && now_ns() >= deadline) return 0;
    }
}

int epoll_wait_both(Epoll &epoll, epoll_event *events, int size, uint64_t timeout_ns, const sigset_t *mask) {
    const int count = wait_both(epoll, events, size, timeout_ns, mask);
    if (epoll.nested) expose(epoll);
    return count;
}

namespace {

/// Unlinks the items of a connection that `doomed` picks and gives them back.
template <class Doomed>
void drop_items(Connection &connection, Doomed doomed) {
    Process &process = *Process::get();
    EpollItem *gone = nullptr;
    {
        stream::Guard guard(connection.items_lock);
        EpollItem *kept = nullptr;
        for (EpollItem *item = connection.items.load(); item != nullptr;) {
            EpollItem *next = item->next_of_connection;
            EpollItem *&list = doomed(*item) ? gone : kept;
            item->next_of_connection = list;
            list = item;
            item = next;
        }
        connection.items.store(kept, std::memory_order_release);
    }
    // The kernel drops a registration with the last reference to the file; the proof of a meeting, and the helper of a connection
    // that lingers, keep one longer.
    const bool kept_elsewhere = connection.phase() != Phase::kTracked;
    while (gone != nullptr) {
        EpollItem *next = gone->next_of_connection;
        Epoll &epoll = *gone->epoll;
        if (gone->in_kernel && kept_elsewhere) kernel_control(epoll, EPOLL_CTL_DEL, *gone, 0);
        {
            stream::Guard guard(epoll.lock);
            EpollItem **link = &epoll.ready_head;
            EpollItem *previous = nullptr;
            while (*link != nullptr && *link != gone) {
                previous = *link;
                link = &(*link)->next_ready;
            }
            if (*link == gone) {
                *link = gone->next_ready;
                if (epoll.ready_tail == gone) epoll.ready_tail = previous;
            }
            gone->live = false;
        }
        if (gone->covered) epoll.attached.fetch_sub(1, std::memory_order_relaxed);
        epoll.items.fetch_sub(1, std::memory_order_relaxed);
        process.free_item(gone);
        gone = next;
    }
}

}  // namespace

void forget_items(Connection &connection) {
    drop_items(connection, [](const EpollItem &) { return true; });
}

void restart_items(Connection &connection) {
    stream::Guard guard(connection.items_lock);
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) {
        item->generation = connection.generation;
        if (item->covered) item->epoll->attached.fetch_sub(1, std::memory_order_relaxed);
        item->covered = false;
        sync_kernel(*item);
    }
}

void close_epoll(int fd, Epoll &epoll) {
    Process &process = *Process::get();
    process.unbind(fd);
    if (epoll.refs.fetch_sub(1) > 1) return;
    for (uint32_t i = 0; epoll.items.load() != 0 && i < process.connections_used(); ++i) {
        Connection &connection = process.connection_at(i);
        if (connection.shared == nullptr || connection.items.load() == nullptr) continue;
        drop_items(connection, [&](const EpollItem &item) { return item.epoll == &epoll; });
    }
    process.free_wake_object(epoll.waker);
    epoll.used.store(0, std::memory_order_release);
}

void expose(Epoll &epoll) {
    Process &process = *Process::get();
    epoll.nested = true;
    if (epoll.waker == memory::kNoWaker) return;
    park(process, epoll.waker);
    pump(process);
    if (epoll.ready_head != nullptr) wake(process, epoll);
}

}  // namespace sansock::socket
