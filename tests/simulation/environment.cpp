// Mirrors framework/socket/environment.cpp.
#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/point.hpp"
#include "world.hpp"

namespace sansock::simulation {

long SimulatedEnvironment::tcp_send(const iovec *parts, int count, int) {
    SANSOCK_POINT("kernel");
    const long sent = p_.world.tcp.send(p_.side, parts, count);
    p_.world.scheduler.trace("tcp_send -> %ld", sent);
    if (sent == -ECONNRESET) p_.error_taken = true;
    if (sent == -EAGAIN && p_.state().out.replaying && !p_.world.tcp.is_pressed(p_.side))
        p_.world.fail(fmt::format("side {} keeps more than the kernel takes at once (I2)", p_.side));
    SANSOCK_POINT("kernel");
    return sent;
}

long SimulatedEnvironment::tcp_receive(const iovec *parts, int count, int flags) {
    SANSOCK_POINT("kernel");
    const long got = p_.world.tcp.receive(p_.side, parts, count, (flags & MSG_PEEK) != 0);
    p_.world.scheduler.trace("tcp_receive -> %ld", got);
    SANSOCK_POINT("kernel");
    return got;
}

long SimulatedEnvironment::tcp_unsent() {
    SANSOCK_POINT("kernel");
    return static_cast<long>(p_.world.tcp.unsent(p_.side));
}

long SimulatedEnvironment::tcp_unread() {
    SANSOCK_POINT("kernel");
    return static_cast<long>(p_.world.tcp.unread(p_.side));
}

long SimulatedEnvironment::tcp_counts(stream::KernelCounts &counts) {
    SANSOCK_POINT("kernel");
    counts = p_.world.tcp.counts(p_.side);
    return 0;
}

bool SimulatedEnvironment::tcp_has_error() { return p_.world.tcp.has_error(p_.side); }

void SimulatedEnvironment::tcp_shutdown_write() {
    SANSOCK_POINT("kernel");
    p_.world.scheduler.trace("kernel shutdown");
    p_.world.tcp.shutdown_write(p_.side);
    SANSOCK_POINT("kernel");
}

uint64_t SimulatedEnvironment::now_ns() { return p_.world.scheduler.now_ns(); }

void SimulatedEnvironment::tcp_guard(bool on) {
    p_.world.scheduler.trace("guard %s", on ? "on" : "off");
    p_.world.tcp.guard(p_.side, on);
}

void SimulatedEnvironment::tcp_poison() {
    SANSOCK_POINT("kernel");
    p_.world.scheduler.trace("poisoned, reason %u", p_.state().reason.load());
    const auto reason = static_cast<stream::Reason>(p_.state().reason.load());
    p_.world.poisoned(p_, reason);
    p_.world.tcp.disconnect(p_.side);
}

void SimulatedEnvironment::ring_peer_helper() {
    if (p_.far != nullptr) return;  // the words themselves are the bell
    SANSOCK_POINT("kernel");
    p_.peer().doorbell.ring();
}

void SimulatedEnvironment::ring_own_helper() {
    SANSOCK_POINT("kernel");
    p_.doorbell.ring();
}

void SimulatedEnvironment::wake_objects_of_peer() {
    const memory::Header &sleepers = p_.peer_arena.header();
    for (const auto &entry : p_.end->memory().peer->hot.wakers) {
        const uint16_t id = entry.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker) break;
        if (id == kHelperWaker || id >= kWakersEnd) {
            ring_peer_helper();
            break;
        }
        SANSOCK_POINT("kernel");
        const uint32_t ticket = sleepers.parked[id].load(std::memory_order_relaxed);
        if (ticket == 0 || ticket == p_.woken[id]) continue;
        p_.woken[id] = ticket;
        p_.peer().wakers[id].ring();
    }
}

void SimulatedEnvironment::wake_peer_readers() {
    if (p_.far != nullptr) return;  // what arrives wakes
    const stream::End::Memory &memory = p_.end->memory();
    const uint32_t ticket = memory.peer->hot.parked_in.load(std::memory_order_relaxed);
    uint32_t &woken = p_.state().out.woken_ticket;
    p_.world.scheduler.trace("wake readers %u, last %u", ticket, woken);
    if (ticket != 0 && ticket != woken) {
        SANSOCK_POINT("kernel");
        if (p_.world.scheduler.wake(&memory.mine->hot.tail) > 0) woken = ticket;
    }
    if (memory.peer->hot.wakers[0].load(std::memory_order_relaxed) != memory::kNoWaker) wake_objects_of_peer();
}

void SimulatedEnvironment::wake_peer_writers() {
    if (p_.far != nullptr) return;
    const stream::End::Memory &memory = p_.end->memory();
    const uint32_t ticket = memory.peer->hot.parked_out.load(std::memory_order_relaxed);
    uint32_t &woken = p_.state().in.woken_ticket;
    p_.world.scheduler.trace("wake writers %u, last %u", ticket, woken);
    if (ticket != 0 && ticket != woken) {
        SANSOCK_POINT("kernel");
        if (p_.world.scheduler.wake(&memory.mine->hot.consumed) > 0) woken = ticket;
    }
    if (memory.peer->hot.wakers[0].load(std::memory_order_relaxed) != memory::kNoWaker) wake_objects_of_peer();
}

void SimulatedEnvironment::path_opens(uint64_t at) {
    if (p_.far != nullptr && p_.far->carries()) path::Landing::open_at(p_.far->carrier.landing().slot(), at);
}

void SimulatedEnvironment::words_changed() { p_.far->tell(); }

void SimulatedEnvironment::wake_own() {
    auto &events = p_.state().events;
    events.fetch_add(1, std::memory_order_acq_rel);
    SANSOCK_POINT("kernel");
    p_.world.scheduler.wake(&events);
    for (const auto &entry : p_.end->memory().mine->hot.wakers) {
        const uint16_t id = entry.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker || id >= kWakersEnd) break;
        if (id != kHelperWaker) p_.wakers[id].ring();
    }
}

}  // namespace sansock::simulation
