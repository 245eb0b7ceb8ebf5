// Mirrors framework/socket/io.cpp and lifecycle.cpp.
#include "socket.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/point.hpp"

namespace sansock::simulation {
namespace {

constexpr int kHeldNapsMax = 5;  // framework/socket/io.cpp
constexpr uint64_t kLookAgainNs = 1'000'000;

}  // namespace

void Socket::retire_if_at_rest() {
    if (p_.state().pinned.load(std::memory_order_relaxed) != 0 && p_.state().error_owed.load() == 0 && p_.end->at_rest_on_tcp() &&
        p_.phase == Phase::kAttached) {
        p_.world.scheduler.trace("on TCP for good");
        p_.phase = Phase::kTcpOnly;
        if (p_.far != nullptr) p_.far->retire();
    }
}

void Socket::get_ready() {
    if (p_.slot().cold.ready.load(std::memory_order_relaxed) == p_.state().epoch.load(std::memory_order_relaxed)) return;
    if (p_.far == nullptr) return p_.end->declare_ready();
    const uint32_t epoch = p_.state().epoch.load();
    if (p_.far->is_established(epoch)) p_.end->declare_ready(epoch);
}

void Socket::carry() {
    if (p_.far != nullptr) p_.far->carry();
}

long Socket::kernel_send(const uint8_t *data, size_t size, bool wait) {
    size_t done = 0;
    for (;;) {
        SANSOCK_POINT("kernel");
        const iovec part{const_cast<uint8_t *>(data) + done, size - done};
        const long sent = p_.world.tcp.send(p_.side, &part, 1);
        if (sent > 0) {
            p_.state().out.out.fetch_add(static_cast<uint64_t>(sent), std::memory_order_relaxed);
            done += static_cast<size_t>(sent);
        } else if (sent != -EAGAIN) {
            if (sent == -ECONNRESET) p_.error_taken = true;
            return done > 0 ? static_cast<long>(done) : sent;
        }
        if (done == size || (done > 0 && (!wait || p_.world.tcp.has_error(p_.side)))) return static_cast<long>(done);
        if (!wait) return -EAGAIN;
        while ((p_.world.tcp.poll(p_.side) & (POLLOUT | POLLERR | POLLHUP)) == 0)
            p_.world.scheduler.sleep({p_.world.tcp.key(p_.side)}, kForever);
    }
}

long Socket::kernel_receive(uint8_t *data, size_t size, int flags, bool wait) {
    const iovec part{data, size};
    for (;;) {
        SANSOCK_POINT("kernel");
        const long got = p_.world.tcp.receive(p_.side, &part, 1, (flags & MSG_PEEK) != 0);
        if (got > 0 && (flags & MSG_PEEK) == 0) p_.state().in.in.fetch_add(static_cast<uint64_t>(got), std::memory_order_relaxed);
        if (got != -EAGAIN || !wait) return got;
        while ((p_.world.tcp.poll(p_.side) & (POLLIN | POLLERR | POLLHUP)) == 0)
            p_.world.scheduler.sleep({p_.world.tcp.key(p_.side)}, kForever);
    }
}

long Socket::send(const uint8_t *data, size_t size, bool wait) {
    if (p_.phase == Phase::kTcpOnly) return kernel_send(data, size, wait);
    stream::End &end = *p_.end;
    get_ready();
    int held_naps = 0;
    size_t done = 0;
    long sent;
    for (;;) {
        const iovec part{const_cast<uint8_t *>(data) + done, size - done};
        sent = end.send(&part, 1, 0);
        carry();
        if (sent > 0) done += static_cast<size_t>(sent);
        if (!wait || done == size || (sent < 0 && sent != -EAGAIN)) break;
        if (sent == -EAGAIN) {
            wait_for(true, 0);
            if (end.holding() && ++held_naps == kHeldNapsMax) end.stop_holding();
        }
    }
    if (!end.on_provider(true)) retire_if_at_rest();
    if (done == 0 && sent < 0) end.error_told();
    return done > 0 ? static_cast<long>(done) : sent;
}

long Socket::receive(uint8_t *data, size_t size, int flags, bool wait) {
    if (p_.phase == Phase::kTcpOnly) return kernel_receive(data, size, flags, wait);
    stream::End &end = *p_.end;
    get_ready();
    carry();
    const iovec part{data, size};
    long got = end.receive(&part, 1, flags);
    while (wait && got == -EAGAIN) {
        wait_for(false, 0);
        got = end.receive(&part, 1, flags);
    }
    if (got > 0) carry();  // the peer may be waiting for the room
    if (!end.on_provider(false)) retire_if_at_rest();
    if (got < 0) end.error_told();
    return got;
}

long Socket::shutdown_write() {
    if (p_.phase == Phase::kAttached) {
        if (p_.end->both_finished()) return -ENOTCONN;
        if (p_.end->finish_writing()) return 0;
    }
    SANSOCK_POINT("kernel");
    p_.world.scheduler.trace("kernel shutdown");
    p_.world.tcp.shutdown_write(p_.side);
    return 0;
}

long Socket::return_to_kernel(stream::Reason reason) {
    stream::State &state = p_.state();
    Scheduler &scheduler = p_.world.scheduler;
    state.pinned.store(1, std::memory_order_relaxed);
    if (p_.phase != Phase::kAttached && p_.phase != Phase::kTcpOnly) return 0;
    stream::End &end = *p_.end;
    const uint64_t deadline = scheduler.now_ns() + kStepTimeoutNs;
    bool rests = false;
    for (;;) {
        end.step(reason, true);
        const uint32_t seen = state.events.load(std::memory_order_acquire);
        rests = end.rests_for_good();
        if (rests || end.at_rest_on_tcp() || scheduler.now_ns() > deadline || end.peer_is_dead()) break;
        if (state.events.load() == seen) scheduler.sleep({&state.events}, scheduler.now_ns() + kLookAgainNs);
    }
    if (!rests && !end.may_leave()) return -ECONNRESET;
    retire_if_at_rest();
    return 0;
}

void let_go_of_memory(Process &process) {
    if (process.far != nullptr) process.far->retire();
    process.mapped = false;
    process.phase = Phase::kClosed;
    if (process.far != nullptr) process.far->tell_released();
    process.end->leave_memory();
    if (process.far == nullptr) process.peer().arena.end_slot(process.peer().slot_index, memory::Arena::kPeerEnd);
}

void Socket::exit() {
    SANSOCK_POINT("call");
    p_.far->leave(true);
    p_.world.scheduler.kill(p_.side, p_.world.scheduler.running());
    p_.phase = Phase::kClosed;
    p_.mapped = false;
    p_.world.tcp.close(p_.side);
    p_.far->die();
}

void Socket::close(bool abort) {
    Tcp &tcp = p_.world.tcp;
    if (p_.phase != Phase::kAttached) {
        stream::Guard guard(p_.fd_lock);
        if (abort) tcp.guard(p_.side, true);
        tcp.close(p_.side);
        if (!p_.native) return let_go_of_memory(p_);
        p_.mapped = false;  // the program knows of no memory that it should leave
        p_.phase = Phase::kClosed;
        return;
    }
    const auto how = p_.end->close(abort);
    p_.world.scheduler.trace("close: %s", how == stream::End::Close::kLinger  ? "lingers"
                                          : how == stream::End::Close::kReset ? "reset"
                                                                              : "now");
    stream::Guard guard(p_.fd_lock);
    if (how == stream::End::Close::kLinger) {
        p_.phase = Phase::kLingering;
        memory::HotLine &hot = p_.slot().hot;
        hot.wakers[0].store(kHelperWaker, std::memory_order_release);
        hot.want_room.store(1, std::memory_order_release);
        SANSOCK_POINT("call");
        p_.doorbell.ring();
        return;
    }
    if (how == stream::End::Close::kReset || abort) tcp.guard(p_.side, true);
    tcp.close(p_.side);
    let_go_of_memory(p_);
}

void finish_lingering(Process &p) {
    stream::End &end = *p.end;
    stream::State &state = p.state();
    const memory::Slot &written = end.memory().far ? end.path() : *end.memory().peer;
    const bool wrote_to_closed = written.hot.tail.load(std::memory_order_acquire) > state.in.in.load() && end.on_provider(false);
    const bool done = (end.unconsumed() == 0 && !state.out.replaying && !state.out.stopped) || end.peer_is_dead();
    if (!done && !wrote_to_closed) {
        end.memory().mine->hot.want_room.store(1, std::memory_order_release);
        return;
    }
    if (done) end.rest_guard();
    if (wrote_to_closed) p.world.tcp.guard(p.side, true);
    p.world.scheduler.trace("lingering is over%s", wrote_to_closed ? ": the peer wrote to a closed socket" : "");
    p.world.tcp.close(p.side);
    let_go_of_memory(p);
}

}  // namespace sansock::simulation
