// Epoll instances that are watched themselves: by another instance, by poll or by select.
//
// The watcher sleeps in the kernel, which sees an instance readable when its wake object is. So before anybody looks at, or sleeps
// on, an instance, that is made to say what the instance's ready queue has to tell, and whatever comes later rings it. A ring may
// be about nothing that was asked for: who is woken by it asks readable().
#include <poll.h>

#include "base/guarded_copy.hpp"
#include "socket/epoll_items.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {

bool readable(Epoll &epoll) {
    Process &process = *Process::get();
    epoll.nested.store(true, std::memory_order_relaxed);
    if (epoll.waker != memory::kNoWaker) {
        park(process, epoll.waker);
        uint64_t rings;
        raw_syscall(SYS_read, process.wake_object(epoll.waker).fd.load(), &rings, sizeof rings);
        pump(process, true);
        if (has_news(epoll)) {
            wake(process, epoll);
            return true;
        }
    }
    pollfd fd{epoll.fd, POLLIN, 0};
    const timespec none{};
    return raw_syscall(SYS_ppoll, &fd, 1, &none, nullptr, 8) == 1;
}

bool refresh_sets(Process &process) {
    bool blocked = false;
    for (Epoll &epoll : process.epolls()) {
        if (epoll.used.load(std::memory_order_acquire) == 0 || !epoll.nested.load(std::memory_order_relaxed)) continue;
        if (epoll.blocked) {
            epoll.blocked = false;
            process.queue_blocked(epoll);
        }
        readable(epoll);
        blocked |= epoll.blocked;
    }
    return blocked;
}

int nest(Epoll &epoll, int operation, int fd, Epoll &inner, epoll_event *event) {
    Process &process = *Process::get();
    if (operation != EPOLL_CTL_ADD && operation != EPOLL_CTL_MOD && operation != EPOLL_CTL_DEL) return -EINVAL;
    epoll_event asked{};
    if (operation != EPOLL_CTL_DEL && !guarded_copy(&asked, event, sizeof asked)) return -EFAULT;
    EpollItem *item = operation == EPOLL_CTL_ADD ? process.new_item() : process.find_item([&](const EpollItem &each) {
        return each.epoll == &epoll && each.inner == &inner && each.fd == fd;
    });
    if (item == nullptr) return operation == EPOLL_CTL_ADD ? -ENOMEM : -ENOENT;
    if (operation == EPOLL_CTL_DEL) {
        const long rc = kernel_control(epoll, operation, *item, 0);
        if (rc == 0) process.free_item(item);
        if (rc == 0) epoll.sets.fetch_sub(1, std::memory_order_relaxed);
        return static_cast<int>(rc);
    }
    item->epoll = &epoll;
    item->inner = &inner;
    item->fd = fd;
    const uint32_t events_before = item->events;
    const uint64_t data_before = item->data;
    item->events = asked.events;
    item->data = asked.data.u64;
    item->live = true;  // before the kernel can speak of it
    const long rc = kernel_control(epoll, operation, *item, asked.events);
    if (rc < 0 && operation == EPOLL_CTL_ADD) process.free_item(item);
    if (rc < 0 && operation == EPOLL_CTL_MOD) {
        item->events = events_before;
        item->data = data_before;
    }
    if (rc < 0) return static_cast<int>(rc);
    if (operation == EPOLL_CTL_ADD) epoll.sets.fetch_add(1, std::memory_order_relaxed);
    readable(inner);
    return 0;
}

void forget_sets(Epoll &epoll) {
    Process &process = *Process::get();
    if (epoll.sets.load() == 0 && !epoll.nested.load()) return;
    const auto is_doomed = [&](const EpollItem &item) { return item.inner != nullptr && (item.epoll == &epoll || item.inner == &epoll); };
    while (EpollItem *item = process.find_item(is_doomed)) {
        item->epoll->sets.fetch_sub(1, std::memory_order_relaxed);
        process.free_item(item);
    }
}

}  // namespace sansock::socket
