// Mirrors framework/socket/waiting.cpp and poll.cpp, without the spinning.
#include <poll.h>

#include "base/point.hpp"
#include "socket.hpp"

namespace sansock::simulation {

void Socket::add_waker() {
    auto &wakers = p_.slot().hot.wakers;
    for (const auto &entry : wakers) {
        if (entry.load(std::memory_order_relaxed) == waker_) return;
    }
    for (auto &entry : wakers) {
        if (entry.load(std::memory_order_relaxed) == memory::kNoWaker) return entry.store(waker_, std::memory_order_release);
    }
}

void Socket::park() {
    SANSOCK_POINT("parking");
    p_.arena.header().parked[waker_].store(++p_.tickets[waker_], std::memory_order_relaxed);
    SANSOCK_POINT("parked");
}

void Socket::unpark() { p_.arena.header().parked[waker_].store(0, std::memory_order_relaxed); }

short Socket::poll_kernel(short events, uint64_t until_ns) {
    Scheduler &scheduler = p_.world.scheduler;
    Bell &bell = p_.wakers[waker_];
    const bool watched = events != 0;
    rung_ = false;
    for (;;) {
        const auto ready = static_cast<short>(watched ? p_.world.tcp.poll(p_.side) & (events | POLLERR | POLLHUP) : 0);
        if (bell.count > 0) {
            bell.count = 0;
            rung_ = true;
            return ready;
        }
        if (ready != 0) return ready;
        if (!scheduler.sleep({&bell, watched ? p_.world.tcp.key(p_.side) : nullptr}, until_ns) && scheduler.now_ns() >= until_ns) return 0;
    }
}

int Socket::wait_on_tcp(bool sending) {
    stream::End &end = *p_.end;
    stream::State &state = p_.state();
    const uint32_t events_seen = state.events.load(std::memory_order_acquire);
    add_waker();
    park();
    get_ready();
    const memory::HotLine &peer = end.path().hot;
    const auto moved = [&] {
        return end.attention_pending() || state.events.load() != events_seen ||
               (end.on_provider(sending) && !state.out.stopped && !(sending && end.peer_is_dead())) ||
               (!sending && peer.tail.load(std::memory_order_acquire) > state.in.in.load() &&
                end.memory().peer->cold.switched.load() == state.epoch.load() &&
                end.memory().mine->cold.frozen.load() != state.epoch.load() &&
                end.memory().peer->cold.switched_at.load() == state.in.in.load());
    };
    for (bool first = true; !moved(); first = false) {
        const bool held = sending && end.held_back();
        const short events = held || (!sending && end.awaits_end()) ? 0 : sending ? POLLOUT : POLLIN | POLLRDHUP;
        const short ready = poll_kernel(events, held    ? p_.world.scheduler.now_ns() + kHeldNapNs
                                                : first ? p_.world.scheduler.now_ns() + kFirstSleepNs
                                                        : kForever);
        if (ready != 0 || rung_ || !first) break;
    }
    unpark();
    return 0;
}

int Socket::wait_for(bool sending, uint64_t ahead) {
    stream::End &end = *p_.end;
    stream::State &state = p_.state();
    Scheduler &scheduler = p_.world.scheduler;
    if (!end.on_provider(sending) || state.out.stopped || (sending && end.peer_is_dead())) return wait_on_tcp(sending);

    const memory::HotLine &peer = end.path().hot;
    memory::HotLine &mine = end.memory().mine->hot;
    const std::atomic<uint64_t> &counter = sending ? peer.consumed : peer.tail;
    const uint32_t events_seen = state.events.load(std::memory_order_acquire);
    const uint64_t seen = counter.load(std::memory_order_acquire);
    const uint64_t known = sending ? uint64_t{state.out.consumed} : state.in.in.load(std::memory_order_relaxed) + ahead;
    if (sending ? std::max<uint64_t>(seen, state.out.switched_at) != known : seen != known) return 0;
    if (!sending && end.peer_ends_at(known)) return 0;
    auto moved = [&] {
        return counter.load(std::memory_order_acquire) != seen || state.events.load(std::memory_order_acquire) != events_seen ||
               end.attention_pending();
    };
    if (end.peer_is_dead() || moved()) return 0;
    carry();
    auto &parked = sending ? mine.parked_out : mine.parked_in;
    auto &sleepers = sending ? state.sleepers_out : state.sleepers_in;
    auto take_ticket = [&] {
        {
            stream::Guard guard(state.park_lock);
            state.park_ticket = state.park_ticket + 1 == 0 ? 1 : state.park_ticket + 1;
            parked.store(state.park_ticket, std::memory_order_relaxed);
        }
        scheduler.trace("parks %s, ticket %u", sending ? "for room" : "for bytes", state.park_ticket);
        SANSOCK_POINT("parked");
    };
    {
        stream::Guard guard(state.park_lock);
        ++sleepers;
    }
    take_ticket();
    // The word that the publisher changes lies in its arena; its own mapping of it is what it wakes by. Of two hosts it is our landing.
    const memory::HotLine &publisher = p_.far != nullptr ? peer : p_.peer().slot().hot;
    const void *word = sending ? &publisher.consumed : &publisher.tail;
    uint64_t until = scheduler.now_ns() + kFirstSleepNs;
    while (!moved() && !end.peer_is_dead()) {
        if (!scheduler.sleep({word, &state.events}, until)) {
            until = kForever;
        } else if (!moved()) {
            take_ticket();
        }
    }
    {
        stream::Guard guard(state.park_lock);
        if (--sleepers == 0) parked.store(0, std::memory_order_relaxed);
    }
    return 0;
}

short Socket::poll(short wanted) {
    if (p_.phase == Phase::kTcpOnly) {
        for (;;) {
            const auto ready = static_cast<short>(p_.world.tcp.poll(p_.side) & (wanted | POLLERR | POLLHUP));
            if (ready != 0) return ready;
            p_.world.scheduler.sleep({p_.world.tcp.key(p_.side)}, kForever);
        }
    }
    stream::End &end = *p_.end;
    Scheduler &scheduler = p_.world.scheduler;
    short kernel_events = 0;
    bool kernel_watched = false, held = false;
    auto prepare = [&] {
        if (end.attention_pending()) end.progress();
        get_ready();
        carry();
        held = end.held_back();
        const bool in = end.on_provider(false) || end.awaits_end(), out = !end.kernel_takes_output() || held;
        kernel_watched = !(in && out);
        kernel_events = static_cast<short>(wanted & ((in ? 0 : POLLIN | POLLRDNORM | POLLRDHUP) | (out ? 0 : POLLOUT | POLLWRNORM)));
    };
    auto judge = [&](short kernel) { return static_cast<short>(end.events(kernel) & (wanted | POLLERR | POLLHUP)); };
    auto look_at_kernel = [&] {
        return static_cast<short>(kernel_watched ? p_.world.tcp.poll(p_.side) & (kernel_events | POLLERR | POLLHUP) : 0);
    };
    bool first_nap = true;
    for (;;) {
        prepare();
        if (const short ready = judge(look_at_kernel()); ready != 0) return ready;
        add_waker();
        park();
        prepare();
        short ready = judge(0);
        short kernel = 0;
        if (ready == 0) {
            const uint64_t until = first_nap || held ? scheduler.now_ns() + kFirstSleepNs : kForever;
            kernel = poll_kernel(kernel_watched ? kernel_events : static_cast<short>(0), until);
            first_nap = rung_;
        }
        unpark();
        ready = judge(kernel);
        if (ready != 0) return ready;
    }
}

}  // namespace sansock::simulation
