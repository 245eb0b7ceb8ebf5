// Mirrors framework/socket/meeting_return.cpp, and what Couriers do for it.
#include "base/point.hpp"
#include "far.hpp"
#include "socket.hpp"

namespace sansock::simulation {

/// The epoch is over: the landing stays, the endpoint does not.
void Far::rest_between() {
    close_endpoint();
    idle_ = true;
    hold();
}

void Far::hold() {
    if (std::exchange(asking_, false)) close_endpoint();
    const bool asks = p_.side == 0 && world_.scenario.far.return_ns != 0 && tries_left_ > 0;
    return_ns_ = asks ? world_.scheduler.now_ns() + world_.scenario.far.return_ns : kForever;
}

void Far::return_soon() {
    if (!idle_ || asking_ || return_ns_ == kForever) return;
    return_ns_ = world_.scheduler.now_ns();
    p_.doorbell.ring();
}

bool Far::is_idle() const {
    return idle_ && p_.mapped && p_.phase == Phase::kAttached && p_.state().pinned.load(std::memory_order_relaxed) == 0;
}

void Far::close_idle() {
    idle_ = asking_ = false;
    return_ns_ = kForever;
    close_path();
}

bool Far::may_return() const { return has_channel() && p_.end->may_return(); }

void Far::ask_to_return() {
    stream::Guard guard(p_.fd_lock);
    return_ns_ = kForever;
    if (!idle_) return;
    if (!is_idle()) return close_idle();
    if (asking_) return hold();  // no answer has come
    --tries_left_;
    if (!may_return()) return hold();
    new_endpoint();
    if (!carrier.lend(endpoint(), nullptr)) return hold();
    asking_ = true;
    asked_epoch_ = p_.state().epoch.load(std::memory_order_relaxed);
    Saying request{Saying::kReturn};
    request.epoch = asked_epoch_;
    request.line = world_.lines.size();
    world_.lines.push_back({});
    world_.lines.back().ends[p_.side] = &endpoint();
    SANSOCK_POINT("kernel");
    if (world_.channel.send(p_.side, request) != Channel::Sent::kTaken) return hold();
    return_ns_ = world_.scheduler.now_ns() + kRendezvousNs;
}

void Far::asked_to_return(const Saying &request) {
    if (!p_.mapped) return;
    Saying answer{Saying::kReturned};
    answer.epoch = request.epoch;
    answer.refused = !is_idle() || p_.state().epoch.load(std::memory_order_relaxed) != request.epoch || !may_return();
    if (!answer.refused) {
        new_endpoint();
        answer.refused = !carrier.lend(endpoint(), nullptr);
    }
    if (!answer.refused) {
        world_.lines[request.line].ends[p_.side] = &endpoint();
        begin_epoch(request.epoch);
        endpoint().changed();
    }
    SANSOCK_POINT("kernel");
    static_cast<void>(world_.channel.send(p_.side, answer));  // where it is not taken, the epoch ends as one that is never established
}

void Far::returned(const Saying &answer) {
    if (!p_.mapped || !idle_ || !asking_ || answer.epoch != asked_epoch_) return;
    const bool between = p_.state().epoch.load(std::memory_order_relaxed) == answer.epoch && may_return();
    if (answer.refused || !is_idle() || !between) return hold();
    begin_epoch(answer.epoch);
    endpoint().changed();
}

}  // namespace sansock::simulation
