// A connection that has stepped back from a provider of messages goes by it again. Both ends rest on TCP, in the same epoch; the one that
// connected makes another endpoint and offers it over the channel, the other one answers. Everything else they have still.
//
// After a failure the provider is left alone for a time, each time for longer (Couriers::hold). That it is there again shows when an
// endpoint comes to be established: until then neither end is ready, and one that fails ends the epoch, in which nothing has moved.
#include <cstring>

#include "base/cpu.hpp"
#include "socket/meetings.hpp"

namespace sansock::socket {
namespace {

constexpr uint64_t kFullNs = 1'000'000;  ///< A channel that takes no more is left alone for this long.

Message about(const Connection &connection, MessageType type, uint32_t epoch) {
    Message message;
    message.type = type;
    message.arena = connection.arena;
    message.slot = connection.slot;
    message.token = epoch;
    std::memcpy(message.guid, connection.shared->guid, sizeof message.guid);
    return message;
}

bool may_return(const Process &process, Connection &connection) {
    return connection.shared->holders.only(static_cast<uint32_t>(process.pid())) && connection.end().may_return();
}

}  // namespace

void Meetings::return_to_providers() {
    couriers_.each_due([this](Courier &courier, Connection &connection) { ask_to_return(courier, connection); });
}

void Meetings::ask_to_return(Courier &courier, Connection &connection) {
    Peer &peer = *connection.peer;
    if (courier.endpoint != nullptr) return couriers_.hold(courier, true);  // no answer has come
    if (const uint64_t until = channels_[index_of(peer)].full_until_ns; now_ns() < until) return couriers_.wait(courier, until);
    if (peer.channel < 0 || !may_return(process_, connection)) return couriers_.hold(courier, false);
    const SharedConnection &shared = *connection.shared;
    const Choice choice = process_.runtime()->choose(server_of(shared), 0, shared.guid, peer.far != nullptr);
    if (choice.refused != stream::Reason::kNone) {
        if (process_.runtime()->lost() != 0) process_.ring_helper();  // to close it, which may be all that is missing
        return couriers_.hold(courier, false);
    }
    const uint32_t epoch = shared.stream.epoch.load(std::memory_order_relaxed);
    Message message = about(connection, MessageType::kReturn, epoch);
    OwnedFds fds;
    if (!couriers_.prepare_again(courier, choice) || !process_.runtime()->offer(courier.endpoint, message.offer, fds))
        return couriers_.hold(courier, true);
    Couriers::introduce(courier, message);
    if (const int sent = send(peer, message, connection.fd.load(), fds); sent < 0) {
        couriers_.hold(courier, false);
        if (sent != -EAGAIN && sent != -ETOOMANYREFS) return;
        channels_[index_of(peer)].full_until_ns = now_ns() + kFullNs;
        return couriers_.wait(courier, now_ns() + kFullNs);
    }
    couriers_.await_answer(courier, epoch);
}

void Meetings::asked_to_return(Peer &peer, Received &received) {
    const Message &request = received.message;
    Connection *connection = attached_at(peer, {request.arena, request.slot});
    if (connection == nullptr) return;  // we have left it
    stream::Guard guard(connection->fd_lock);
    if (attached_at(peer, {request.arena, request.slot}) != connection || !connection->mapped.load()) return;
    const auto epoch = static_cast<uint32_t>(request.token);
    Message answer = about(*connection, MessageType::kReturned, epoch);
    OwnedFds fds;
    const auto refuse = [&](stream::Reason reason) {
        answer.reason = static_cast<uint32_t>(reason);
        send(peer, answer);
    };
    Courier *courier = connection->idle_courier;
    const SharedConnection &shared = *connection->shared;
    if (courier == nullptr || shared.stream.epoch.load(std::memory_order_relaxed) != epoch || !may_return(process_, *connection))
        return refuse(stream::Reason::kNotYet);
    const Choice choice = process_.runtime()->choose(server_of(shared), 0, shared.guid, peer.far != nullptr);
    if (choice.refused != stream::Reason::kNone) return refuse(choice.refused);
    const bool begun = couriers_.prepare_again(*courier, choice) &&
                       process_.runtime()->accept(courier->endpoint, request.offer, received.more, answer.offer, fds) &&
                       begin_epoch(*courier, *connection, choice, request);
    if (!begun) {
        couriers_.hold(*courier, false);
        return refuse(stream::Reason::kNoProvider);
    }
    Couriers::introduce(*courier, answer);
    // A peer that takes no answer now asks again: until then its end of this one is not there, which ends the epoch.
    send(peer, answer, connection->fd.load(), fds);
}

void Meetings::returned(Peer &peer, Received &received) {
    const Message &answer = received.message;
    Connection *connection = attached_at(peer, {answer.arena, answer.slot});
    if (connection == nullptr) return;
    stream::Guard guard(connection->fd_lock);
    if (attached_at(peer, {answer.arena, answer.slot}) != connection || !connection->mapped.load()) return;
    Courier *courier = connection->idle_courier;
    if (courier == nullptr || !Couriers::awaits_answer(*courier, static_cast<uint32_t>(answer.token))) return;
    const SharedConnection &shared = *connection->shared;
    if (answer.reason != static_cast<uint32_t>(stream::Reason::kNone))
        return couriers_.hold(*courier, answer.reason == static_cast<uint32_t>(stream::Reason::kNoProvider));
    const bool between = shared.stream.epoch.load(std::memory_order_relaxed) == answer.token && may_return(process_, *connection);
    if (!between) return couriers_.hold(*courier, false);
    const Choice choice = process_.runtime()->choose(server_of(shared), 0, shared.guid, peer.far != nullptr);
    const bool taken = choice.refused == stream::Reason::kNone &&
                       process_.runtime()->take_answer(courier->endpoint, answer.offer, received.more) &&
                       begin_epoch(*courier, *connection, choice, answer);
    if (!taken) couriers_.hold(*courier, true);
}

bool Meetings::begin_epoch(Courier &courier, Connection &connection, const Choice &choice, const Message &peer) {
    {
        stream::Guard no_fork(process_.fork_lock());  // a child would not know of the courier
        if (!may_return(process_, connection)) return false;
        if (!couriers_.start(courier, connection, choice, static_cast<uint32_t>(peer.token), peer)) return false;
    }
    couriers_.listen(courier, epoll_fd_, Watch{Watch::kCourier, Couriers::index_of(courier)}.pack());
    full_fence();  // whoever has pinned it meanwhile has looked for a courier before, or will be seen
    if (connection.phase() != Phase::kAttached || connection.shared->stream.pinned.load(std::memory_order_relaxed) != 0) {
        retire_courier(connection);
    } else {
        carry_now(connection, true);
    }
    return true;
}

}  // namespace sansock::socket
