// The channel between two processes: greeting, credentials, arenas, wake objects.
#include <unistd.h>

#include "base/point.hpp"
#include "socket/meetings.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

constexpr uint64_t kRetryNs = 1'000'000;
constexpr int kMessagesAtOnce = 64;  ///< Then the other peers have their turn.
constexpr const char *kOutOfTurn = "sends a message out of turn";

}  // namespace

/// Under the connection's fd_lock.
void Meetings::new_channel(HiddenFd fd, Connection &connection, bool connected_by_us) {
    if (connection.fd.load() < 0) return;  // the application has closed it: there is nothing left to meet about
    Peer *peer = process_.new_peer();
    if (peer == nullptr) return give_up(connection, stream::Reason::kNoResources);
    Channel &channel = channels_[index_of(*peer)];
    channel = {};
    channel.connected_by_us = connected_by_us;
    channel.first = token_of(connection);
    channel.server = connection.shared->remote;
    channel.deadline_ns = meeting_of(connection).deadline_ns;
    const ucred maker = maker_of(fd.get());  // until the peer's first message says who really writes
    peer->uid = maker.uid;
    peer->pid = maker.pid;
    peer->channel = fd.release();
    watch(peer->channel, {Watch::kChannel, index_of(*peer)}, EPOLLIN);
    Message message;
    message.type = MessageType::kHello;
    message.pid = process_.pid();
    message.started = started_;
    message.network_namespace = network_namespace_of(connection.fd.load());
    message.local = connection.shared->local;
    message.remote = connection.shared->remote;
    SANSOCK_POINT("U1.met");
    send_message(peer->channel, message);
    SANSOCK_POINT("U1.greeted");
}

void Meetings::close_channel(Peer &peer) {
    Channel &channel = channels_[index_of(peer)];
    if (Connection *first = first_of(channel)) {
        // Perhaps only this channel: two processes that meet over many connections at once keep one of their channels. The end
        // that accepted gives the other time to propose over that one.
        Meeting &meeting = meeting_of(*first);
        meeting.state = Meeting::kRetry;
        wait_until(meeting, now_ns() + (channel.connected_by_us ? kRetryNs : 4 * kRetryNs));
    }
    channel.first = 0;
    // Proposals that were under way are made again over another channel; their slots go with this one.
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Meeting &meeting = meetings_[i];
        if (meeting.peer != index_of(peer) + 1) continue;
        meeting.has_slot = false;
        meeting.peer = 0;
        if (meeting.state == Meeting::kHeld) meeting.state = Meeting::kIdle;
        if (meeting.state == Meeting::kProposed) {
            meeting.state = Meeting::kRetry;
            wait_until(meeting, now_ns() + kRetryNs);
        }
    }
    if (!peer.alive.exchange(false) && peer.channel < 0) return;
    {
        stream::Guard no_sender(peer.channel_lock);
        unwatch(peer.channel);
        process_.close_hidden(peer.channel.exchange(-1));
    }
    if (peer.far != nullptr) far_lost(peer);
    expect_release(process_, peer);
}

/// Nobody of its family is there any more. Its sockets may be, with a program that it has started.
void Meetings::peer_deserts(const Peer &peer) {
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Connection &connection = process_.connection_at(i);
        if (!connection.is_open() || connection.phase() != Phase::kAttached) continue;
        stream::Guard guard(connection.fd_lock);
        if (!connection.is_open() || !connection.mapped.load() || connection.peer != &peer) continue;
        connection.end().peer_deserts();
    }
}

void Meetings::channel_readable(uint32_t peer_index) {
    Peer &peer = process_.peers()[peer_index];
    if (peer.used.load() != 0 && peer.far != nullptr) return far_readable(peer);
    for (int i = 0; i < kMessagesAtOnce; ++i) {
        if (peer.used.load() == 0 || peer.channel < 0) return;
        Received received;
        const int rc = receive_message(peer.channel, received);
        if (rc == -EAGAIN || rc == -EINTR) return;
        if (rc == -EPROTO) return broke_protocol(peer, "sends what is no message");
        if (rc < 0) {
            close_channel(peer);
            return peer_deserts(peer);
        }
        handle(peer, received);
    }
}

void Meetings::handle(Peer &peer, Received &received) {
    const Channel::State state = channels_[index_of(peer)].state;
    const MessageType type = received.message.type;
    if (state == Channel::kNew) return type == MessageType::kHello ? hello(peer, received) : broke_protocol(peer, kOutOfTurn);
    switch (type) {
        case MessageType::kWelcome: return welcome(peer, received);
        case MessageType::kArena: return arena(peer, received);
        case MessageType::kPropose: return state == Channel::kUp ? proposed(peer, received) : broke_protocol(peer, kOutOfTurn);
        case MessageType::kAccept: return state == Channel::kUp ? accepted(peer, received) : broke_protocol(peer, kOutOfTurn);
        case MessageType::kDecline: return declined(peer, received.message);
        case MessageType::kWakeObject: return wake_object(peer, received);
        case MessageType::kReleased: return released(peer, received.message);
        case MessageType::kReturn: return asked_to_return(peer, received);
        case MessageType::kReturned: return returned(peer, received);
        case MessageType::kHello: break;
    }
    broke_protocol(peer, kOutOfTurn);
}

void Meetings::hello(Peer &peer, Received &received) {
    Channel &channel = channels_[index_of(peer)];
    Connection *first = first_of(channel);
    if (first == nullptr) return close_channel(peer);
    const Message &message = received.message;
    peer.uid = received.sender.uid;
    peer.pid = received.sender.pid;
    peer.started = message.started;
    if (!process_.runtime()->may_share(geteuid(), peer.uid)) {
        blame(*first, stream::Reason::kPeerUser, peer, "is a user that this configuration does not allow");
        give_up(*first, stream::Reason::kPeerUser);
        return close_channel(peer);
    }
    if (message.version != kMessageVersion) return broke_protocol(peer, "speaks another version");
    if (message.pid != peer.pid) return broke_protocol(peer, "gives another process's number");
    const uint64_t ours = network_namespace_of(first->fd.load());  // 0: the application has closed it
    if (ours != 0 && message.network_namespace != ours) return broke_protocol(peer, "is of another network namespace");
    // The end that connected decides alone, or each might close the channel that the other keeps.
    const bool ourselves = peer.pid == process_.pid() && peer.started == started_;
    for (Peer &other : process_.peers()) {
        if (!channel.connected_by_us) break;
        if (&other == &peer || other.used.load() == 0 || !other.alive.load() || other.pid != peer.pid || other.started != peer.started)
            continue;
        // Where both ends of a connection are this process, each end has a channel object, and proposals go from one to the other.
        if (ourselves && !channels_[index_of(other)].connected_by_us) continue;
        // We know each other already: this connection is set up over the channel that we have.
        Channel &known = channels_[index_of(other)];
        known.connected_by_us = true;
        known.server = channel.server;
        {
            stream::Guard guard(first->fd_lock);
            if (first->fd.load() >= 0) propose(*first, other);
        }
        return close_channel(peer);
    }
    channel.state = Channel::kGreeted;
    Message reply;
    reply.type = MessageType::kWelcome;
    if (send_message(peer.channel, reply, process_.helper_doorbell()) < 0) return close_channel(peer);
    if (const auto reason = make_arena(peer, meeting_of(*first).choice); reason != stream::Reason::kNone) {
        // A peer that has closed it has another channel to us, and proposes over that one.
        if (reason != stream::Reason::kPeerSilent) give_up(*first, reason);
        close_channel(peer);
    }
}

void Meetings::welcome(Peer &peer, Received &received) {
    if (peer.helper_doorbell > 0) return broke_protocol(peer, kOutOfTurn);
    if (!received.fd || !is_wake_descriptor(received.fd.get())) return broke_protocol(peer, "passes what is no doorbell");
    peer.helper_doorbell = process_.hide(received.fd.release());
}

void Meetings::arena(Peer &peer, Received &received) {
    const uint32_t index = received.message.arena;
    if (!received.fd || index != peer.their_arenas.load() || index >= kArenasPerPeer || peer.helper_doorbell <= 0) {
        return broke_protocol(peer, kOutOfTurn);
    }
    if (const int rc = peer.theirs[index].map(received.fd.get()); rc < 0) {
        return rc == -EPROTO ? broke_protocol(peer, "passes what is no arena") : close_channel(peer);
    }
    if (index == 0) peer.their_head.store(&peer.theirs[0].header());
    peer.their_arenas.store(index + 1);
    SANSOCK_POINT("U1.shared");
    if (index == 0) channel_up(peer);
}

void Meetings::channel_up(Peer &peer) {
    Channel &channel = channels_[index_of(peer)];
    channel.state = Channel::kUp;
    peer.alive.store(true);
    Connection *first = first_of(channel);
    if (!channel.connected_by_us || first == nullptr) return;  // the peer proposes
    channel.first = 0;
    stream::Guard guard(first->fd_lock);
    if (first->fd.load() >= 0) propose(*first, peer);
}

void Meetings::wake_object(Peer &peer, Received &received) {
    const uint32_t id = received.message.waker;
    if (id == memory::kNoWaker || id >= memory::kWakeObjects || !received.fd || !is_wake_descriptor(received.fd.get())) {
        return broke_protocol(peer, "passes what is no wake object");
    }
    const int before = peer.wake_fd[id].exchange(process_.hide(received.fd.release()) + 1, std::memory_order_acq_rel);
    if (before > 0) process_.close_hidden(before - 1);
    // Whoever had something for it until now could only ring the helper, which knows nothing of a relative's sleepers.
    const uint64_t one = 1;
    raw_syscall(SYS_write, peer.wake_fd[id].load() - 1, &one, sizeof one);
}

void Meetings::released(Peer &peer, const Message &message) {
    if (message.arena >= peer.our_arenas.load() || message.slot >= memory::kSlotsPerArena) {
        return broke_protocol(peer, "names memory that we have not shared");
    }
    peer.ours[message.arena].end_slot(message.slot, memory::Arena::kPeerEnd);
}

}  // namespace sansock::socket
