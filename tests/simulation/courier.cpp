// Mirrors framework/socket/courier.cpp: who carries, who is woken, and what becomes of a path that fails.
#include <fmt/format.h>
#include <poll.h>

#include <utility>

#include "base/point.hpp"
#include "far.hpp"
#include "socket.hpp"

namespace sansock::simulation {
namespace {

constexpr uint64_t kPathTimeoutNs = 30'000'000'000;  // framework/socket/policy.hpp
constexpr uint64_t kGraceNs = 500'000'000;           // framework/socket/courier.cpp

}  // namespace

int32_t SimulatedEndpoint::post_send(std::span<const sansock_slice> slices, uint64_t token) noexcept {
    SANSOCK_POINT("kernel");
    const int32_t status = paper.post_send(slices, token);
    changed();
    return status;
}

int32_t SimulatedEndpoint::post_receive(std::span<const sansock_slice> slices, uint64_t token) noexcept {
    return paper.post_receive(slices, token);
}

int32_t SimulatedEndpoint::poll(std::span<sansock_completion> completions) noexcept {
    SANSOCK_POINT("kernel");
    return paper.poll(completions);
}

int32_t SimulatedEndpoint::arm(uint32_t what) noexcept {
    static_cast<void>(paper.arm(what));
    changed();  // what has completed before that is told at once
    return SANSOCK_OK;
}

void SimulatedEndpoint::changed() { Scheduler::get().wake(provider_); }

void Far::after(const path::Moved &moved) {
    Scheduler &scheduler = world_.scheduler;
    const stream::End::Memory &memory = p_.end->memory();
    if (moved.arrived && memory.mine->hot.parked_in.load(std::memory_order_relaxed) != 0) scheduler.wake(&memory.path->hot.tail);
    if (moved.room && memory.mine->hot.parked_out.load(std::memory_order_relaxed) != 0) scheduler.wake(&memory.path->hot.consumed);
    for (const auto &entry : memory.mine->hot.wakers) {
        const uint16_t id = entry.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker || (!moved.arrived && !moved.room)) break;
        if (id == kHelperWaker || id >= kWakersEnd) {
            p_.doorbell.ring();
            break;
        }
        if (p_.arena.header().parked[id].load(std::memory_order_relaxed) != 0) p_.wakers[id].ring();
    }
    const bool unwatched = moved.waits && !std::exchange(watching_, true);
    if (moved.failed || unwatched) p_.doorbell.ring();
}

void Far::carry(bool arm) {
    if (!carries_) return;
    const path::Moved moved = carrier.move(arm);
    if (awaited_ && carrier.established()) p_.doorbell.ring();
    after(moved);
}

bool Far::is_established(uint32_t epoch) {
    if (!carries_ || SANSOCK_MUTATE("READY_WITHOUT_PATH", !carrier.is_of_epoch(epoch), false)) return false;
    if (carrier.established()) return true;
    awaited_ = true;
    return carrier.established();
}

void Far::get_ready_at_last() {
    if (!carrier.established() || !std::exchange(awaited_, false)) return;
    const uint32_t epoch = p_.state().epoch.load();
    if (is_established(epoch)) p_.end->declare_ready(epoch);
}

void Far::retire() {
    if (!std::exchange(carries_, false)) return;
    carrier.stop();
    retired_ = true;
    p_.doorbell.ring();
}

void Far::new_endpoint() {
    const FarPlan &plan = world_.scenario.far;
    endpoints_.push_back(std::make_unique<SimulatedEndpoint>(plan.sends, plan.receives[p_.side], world_.provider_key()));
}

std::string Far::misuse() const {
    for (const auto &endpoint : endpoints_) {
        if (!endpoint->paper.fault.empty()) return endpoint->paper.fault;
    }
    return {};
}

void Far::close_endpoint() {
    carrier.stop();
    endpoint().paper.vanish();
    endpoint().changed();
}

void Far::close_path() {
    close_endpoint();
    carrier.close();
}

void Far::path_notified() {
    stream::Guard guard(p_.fd_lock);
    if (!carries_) return;
    const path::Moved moved = carrier.move_notified(true);
    after(moved);
    get_ready_at_last();
    if (moved.failed) fail_path();
    if (p_.phase == Phase::kLingering) finish_lingering(p_);
}

void Far::look_after() {
    if (!carries_) return;
    if (!carrier.is_of_epoch(p_.state().epoch.load(std::memory_order_acquire))) {
        carries_ = false;
        const bool for_good = p_.state().pinned.load(std::memory_order_relaxed) != 0;
        return for_good || p_.phase != Phase::kAttached ? close_path() : rest_between();
    }
    carry(true);
    get_ready_at_last();
    if (carrier.failed()) fail_path();
}

void Far::rung() {
    const uint64_t now = world_.scheduler.now_ns();
    if (std::exchange(retired_, false)) close_path();
    if (idle_ && !is_idle()) close_idle();
    if (watch_ns_ == kForever && watching_) watch_ns_ = now + kPathTimeoutNs / 4;
    rest_due_ns_ = std::min(rest_due_ns_, now + kRestNs);
}

void Far::watch() {
    stream::Guard guard(p_.fd_lock);
    const uint64_t now = world_.scheduler.now_ns();
    decide_due_ns_ = kForever;
    const bool looks = now >= watch_ns_;
    if (looks) {
        watching_ = false;
        watch_ns_ = kForever;
    }
    if (!carries_) return;
    if (looks) {
        const bool told = notified || endpoint().paper.has_news();
        const uint64_t posted = endpoint().paper.posted_sends;
        const bool asks = carrier.overdue(now, kPathTimeoutNs);
        const path::Moved moved = carrier.move(true);
        if (!told && !asks && (moved.arrived || moved.room || posted != endpoint().paper.posted_sends))
            world_.fail(fmt::format("side {} was not told of what its helper has found by chance (M4)", p_.side));
        after(moved);
    }
    if (carrier.failed()) fail_path();
}

bool Far::peer_is_gone() const {
    if (p_.state().tcp_ended.load(std::memory_order_acquire) != stream::kTcpOpen) return true;
    const stream::End::Memory &memory = p_.end->memory();
    const auto state = static_cast<memory::EndState>(memory.peer->cold.state.load(std::memory_order_acquire));
    if (state == memory::EndState::kReset || state == memory::EndState::kPoisoned || state == memory::EndState::kLeft) return true;
    const bool all_here = memory.peer->cold.fin_at.load(std::memory_order_relaxed) <= memory.path->hot.tail.load(std::memory_order_relaxed);
    if (state == memory::EndState::kClosed && memory.peer->cold.fin.load(std::memory_order_acquire) != 0 && all_here) return true;
    return (world_.tcp.poll(p_.side) & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/// The peer's death breaks the path as well, and is not the provider's fault.
void Far::fail_path() {
    const stream::End::Memory &memory = p_.end->memory();
    const uint32_t epoch = p_.state().epoch.load(std::memory_order_relaxed);
    const int32_t status = carrier.status();
    if (status == SANSOCK_EPROTO) world_.fail(fmt::format("side {} takes a message for one that cannot be (M5)", p_.side));
    if (!carrier.is_of_epoch(epoch)) return;
    const bool stepping = memory.mine->cold.frozen.load(std::memory_order_relaxed) == epoch ||
                          memory.peer->cold.step.load(std::memory_order_acquire) == epoch;
    if (stepping || peer_is_gone()) return;
    if (memory.peer->cold.pinned.load(std::memory_order_acquire) != 0 &&
        memory.peer->cold.switched.load(std::memory_order_acquire) != epoch && !p_.end->on_provider(true)) {
        p_.state().pinned.store(1, std::memory_order_relaxed);
        return retire();
    }
    if (status == SANSOCK_ECONNRESET) {
        const uint64_t now = world_.scheduler.now_ns();
        if (decide_ns_ == 0) decide_ns_ = now + kGraceNs;
        if (now < decide_ns_) {
            decide_due_ns_ = decide_ns_;
            return;
        }
    }
    world_.scheduler.trace("the path has failed with %d", status);
    if (status == SANSOCK_ETIMEDOUT) world_.felt();
    p_.end->step(stream::Reason::kProviderFailed, false);
}

}  // namespace sansock::simulation
