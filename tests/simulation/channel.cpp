#include "channel.hpp"

#include <utility>

#include "base/point.hpp"

namespace sansock::simulation {

void Channel::reset(size_t room) {
    room_ = room;
    for (Socket &end : ends_) end = {};
}

Channel::Sent Channel::send(int side, const Saying &saying) {
    Socket &end = ends_[side];
    if (end.closed || end.end == End::kBroken) return Sent::kBroken;
    if (end.wire.size() >= room_) return Sent::kFull;
    end.wire.insert(SANSOCK_MUTATE("WORDS_OVERTAKE", end.wire.end(), end.wire.empty() ? end.wire.end() : end.wire.end() - 1), saying);
    Scheduler::get().wake(path_key());
    return Sent::kTaken;
}

std::optional<Saying> Channel::receive(int side) {
    auto &arrived = ends_[side].arrived;
    if (arrived.empty() || ends_[side].closed) return {};
    Saying first = std::move(arrived.front());
    arrived.pop_front();
    return first;
}

/// The kernel throws away what comes, and says so; with it goes what it has not sent yet.
void Channel::reset_behind(Socket &socket) {
    socket.last = End::kBroken;
    while (!socket.wire.empty() && Scheduler::get().random.chance(30)) socket.wire.pop_back();
}

void Channel::shutdown_write(int side) {
    if (ends_[side].last == End::kOpen) ends_[side].last = End::kWhole;
    Scheduler::get().wake(path_key());
}

/// What is on its way goes on, and the end behind it.
void Channel::close(int side) {
    Socket &end = ends_[side];
    if (end.closed) return;
    end.closed = true;
    shutdown_write(side);
    if (!end.arrived.empty()) reset_behind(end);
    end.arrived.clear();
    Scheduler::get().wake(path_key());
}

bool Channel::deliver(int side) {
    Socket &from = ends_[side], &to = ends_[1 - side];
    if (from.wire.empty()) {
        if (from.last == End::kOpen || to.end != End::kOpen) return false;
        to.end = from.last;
    } else {
        Saying saying = std::move(from.wire.front());
        from.wire.pop_front();
        if (to.closed) {
            reset_behind(to);
        } else {
            to.arrived.push_back(std::move(saying));
        }
    }
    Scheduler::get().wake(key(0));
    Scheduler::get().wake(key(1));
    return true;
}

void Channel::cut() {
    for (int side = 0; side < 2; ++side) {
        ends_[side].wire.clear();
        ends_[side].last = End::kBroken;
        if (ends_[side].end == End::kOpen) ends_[side].end = End::kBroken;
        Scheduler::get().wake(key(side));
    }
}

}  // namespace sansock::simulation
