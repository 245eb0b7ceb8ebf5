// What the application has registered: the items of epoll instances, and the kernel's share in each.
#include "socket/epoll_items.hpp"

#include <poll.h>

#include "base/guarded_copy.hpp"
#include "socket/helper.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

constexpr uint32_t kWithExclusive = EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;

/// While both directions are elsewhere: the end of the TCP connection. And bytes, of which none come, so that it costs nothing; but should
/// a sibling take the connection back to TCP, nobody else tells this process.
constexpr uint32_t kShareOfProvider = EPOLLIN | EPOLLRDHUP | EPOLLET;

/// What the kernel must watch for this item: everything while the connection is its own. Of a connection that is in user space EPOLLONESHOT
/// is never left to the kernel, which might fire for what we then find to be nothing.
uint32_t kernel_share(EpollItem &item) {
    Connection &connection = *item.connection;
    if (!in_user_space(connection)) return item.disarmed ? 0u : uint32_t{item.events};
    if (item.disarmed) return kShareOfProvider;
    stream::End &end = connection.end();
    const bool in = end.on_provider(false) || end.awaits_end(), out = !end.kernel_takes_output() || end.held_back();
    if (!in && !out) return item.events & ~uint32_t{EPOLLONESHOT};
    if (in && out) return kShareOfProvider;
    const uint32_t from_kernel = (in ? 0 : EPOLLIN | EPOLLPRI | EPOLLRDNORM) | (out ? 0 : EPOLLOUT | EPOLLWRNORM);
    // An end that was not asked for would keep a level-triggered set awake, and so would one of which the peer has yet to say what it
    // means.
    return item.events & (from_kernel | (end.awaits_end() ? 0 : EPOLLRDHUP) | EPOLLET);
}

EpollItem *find_item(Epoll &epoll, Connection &connection, int fd) {
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) {
        if (item->epoll == &epoll && item->fd == fd) return item;
    }
    return nullptr;
}

}  // namespace

long kernel_control(Epoll &epoll, int operation, EpollItem &item, uint32_t events) {
    epoll_event event{events, {.u64 = kOurs | item.name.load(std::memory_order_relaxed)}};
    if (operation == EPOLL_CTL_MOD &&
        ((events | item.kernel_events) & EPOLLEXCLUSIVE) != 0) {  // which the kernel modifies neither from nor to
        raw_syscall(SYS_epoll_ctl, epoll.fd, EPOLL_CTL_DEL, item.fd, &event);
        operation = EPOLL_CTL_ADD;
    }
    const long rc = raw_syscall(SYS_epoll_ctl, epoll.fd, operation, item.fd, &event);
    if (rc == 0) {
        item.in_kernel = operation != EPOLL_CTL_DEL;
        item.kernel_events = events;
    }
    return rc;
}

/// Under items_lock.
static void sync_locked(EpollItem &item) {
    if (!item.live || !item.in_kernel) return;
    const uint32_t wanted = kernel_share(item);
    if (wanted != item.kernel_events) kernel_control(*item.epoll, EPOLL_CTL_MOD, item, wanted);
}

void sync_kernel(EpollItem &item) {
    if (!item.live || !item.in_kernel || kernel_share(item) == item.kernel_events) return;
    Connection &connection = *item.connection;
    stream::Guard guard(connection.items_lock);  // or what an epoll_ctl of another thread asks for meanwhile would be lost
    if (item.connection == &connection && item.generation == connection.generation) sync_locked(item);
}

void wake(Process &process, Epoll &epoll) {
    const uint64_t one = 1;
    if (epoll.waker != memory::kNoWaker) raw_syscall(SYS_write, process.wake_object(epoll.waker).fd.load(), &one, sizeof one);
}

void queue_item(EpollItem &item) { queue_item(*item.epoll, item, item.name.load(std::memory_order_relaxed)); }

void queue_item(Epoll &epoll, EpollItem &item, uint32_t name) {
    if (item.queued.load(std::memory_order_acquire)) return;
    {
        stream::Guard guard(epoll.lock);
        if (!item.live || item.name.load(std::memory_order_relaxed) != name || item.queued.exchange(true, std::memory_order_acq_rel))
            return;
        item.next_ready = nullptr;
        if (EpollItem *const tail = epoll.ready_tail) {
            tail->next_ready = &item;
        } else {
            epoll.ready_head = &item;
        }
        epoll.ready_tail = &item;
    }
    // The lock's release and this load are ordered by the exchange above and the sleeper's fence: it sees the item, or we see it.
    if (epoll.asleep.load(std::memory_order_seq_cst) != 0 || epoll.nested.load(std::memory_order_relaxed)) wake(*Process::get(), epoll);
}

void queue_items(Connection &connection) {
    stream::Guard guard(connection.items_lock);
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) queue_item(*item);
}

bool cover(EpollItem &item) {
    Process &process = *Process::get();
    Epoll &epoll = *item.epoll;
    if (epoll.waker == memory::kNoWaker) {
        stream::Guard guard(epoll.lock);
        const uint16_t id = epoll.waker == memory::kNoWaker ? process.new_wake_object() : epoll.waker.load();
        if (id == memory::kNoWaker) return false;
        epoll_event event{EPOLLIN | EPOLLET, {.u64 = kOurs | kWakeUp}};
        raw_syscall(SYS_epoll_ctl, epoll.fd, EPOLL_CTL_ADD, process.wake_object(id).fd.load(), &event);
        epoll.waker = id;
    }
    Peer &peer = *item.connection->peer;
    if (peer.told[epoll.waker].load(std::memory_order_relaxed) == 0)
        Helper::tell_wake_object(peer, epoll.waker, process.wake_object(epoll.waker).fd.load());
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
        queue_item(item);  // which rings a nested instance: whoever sleeps on that parks its waker
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
            if (item->in_kernel && !(in_user_space(connection) && item->kernel_events == kShareOfProvider)) {
                return static_cast<int>(kernel_control(epoll, EPOLL_CTL_DEL, *item, 0));
            }
            return 0;
        default: return -EINVAL;
    }
    const uint32_t events_before = item->events;
    item->events = asked.events;
    item->data = asked.data.u64;
    item->disarmed = false;
    item->told_events = 0;
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

void adopt_item(Epoll &epoll, Connection &connection, int fd, uint32_t events, uint64_t data) {
    EpollItem *item = Process::get()->new_item();
    if (item == nullptr) {  // the kernel alone will tell of it
        connection.shared->stream.pinned.store(1, std::memory_order_relaxed);
        return connection.set_reason(stream::Reason::kNoResources);
    }
    stream::Guard guard(connection.items_lock);
    item->epoll = &epoll;
    item->connection = &connection;
    item->generation = connection.generation;
    item->fd = fd;
    item->events = events;
    item->data = data;
    item->live = true;
    item->in_kernel = true;
    if (kernel_control(epoll, EPOLL_CTL_MOD, *item, events) < 0) {  // the instance is another one by now
        item->live = false;
        item->in_kernel = false;
        return Process::get()->free_item(item);
    }
    item->next_of_connection = connection.items.load();
    connection.items.store(item, std::memory_order_release);
    epoll.items.fetch_add(1, std::memory_order_relaxed);
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
    if (gone == nullptr) return;
    // The kernel drops a registration with the last reference to the file; the proof of a meeting, the helper of a connection that lingers,
    // and a child of ours keep one longer.
    const bool kept_elsewhere = connection.phase() != Phase::kTracked || process.has_children();
    while (gone != nullptr) {
        EpollItem *next = gone->next_of_connection;
        Epoll &epoll = *gone->epoll;
        if (gone->in_kernel && kept_elsewhere) kernel_control(epoll, EPOLL_CTL_DEL, *gone, 0);
        {
            stream::Guard guard(epoll.lock);
            EpollItem *at = epoll.ready_head, *previous = nullptr;
            while (at != nullptr && at != gone) {
                previous = at;
                at = at->next_ready;
            }
            if (at == gone) {
                if (previous == nullptr) {
                    epoll.ready_head = gone->next_ready;
                } else {
                    previous->next_ready = gone->next_ready;
                }
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

void sync_items(Connection &connection) {
    stream::Guard guard(connection.items_lock);
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) sync_locked(*item);
}

void settle_dead(EpollItem &item) {
    Connection &connection = *item.connection;
    stream::Guard guard(connection.items_lock);
    if (item.connection == &connection && !item.live && item.in_kernel) kernel_control(*item.epoll, EPOLL_CTL_DEL, item, 0);
}

bool has_items(Connection &connection, int fd) {
    stream::Guard guard(connection.items_lock);
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) {
        if (item->fd == fd && item->live) return true;
    }
    return false;
}

void leave_items(Connection &connection, int fd) {
    stream::Guard guard(connection.items_lock);
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) {
        if (item->fd == fd) item->in_kernel = false;
    }
}

void restart_items(Connection &connection) {
    stream::Guard guard(connection.items_lock);
    for (EpollItem *item = connection.items.load(); item != nullptr; item = item->next_of_connection) {
        item->generation = connection.generation;
        if (item->covered) item->epoll->attached.fetch_sub(1, std::memory_order_relaxed);
        item->covered = false;
        sync_locked(*item);
    }
}

void close_epoll(int fd, Epoll &epoll) {
    Process &process = *Process::get();
    process.unbind(fd);
    if (epoll.refs.fetch_sub(1) > 1) {
        for (int other = 0; epoll.fd == fd && other <= process.highest_fd(); ++other) {
            if (process.epoll(other) == &epoll) epoll.fd = other;
        }
        return;
    }
    for (uint32_t i = 0; epoll.items.load() != 0 && i < process.connections_used(); ++i) {
        Connection &connection = process.connection_at(i);
        if (connection.items.load() == nullptr) continue;
        drop_items(connection, [&](const EpollItem &item) { return item.epoll == &epoll; });
    }
    forget_sets(epoll);
    process.free_wake_object(epoll.waker);
    epoll.used.store(0, std::memory_order_release);
}

}  // namespace sansock::socket
