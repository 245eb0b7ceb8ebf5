// What two processes that know each other settle about one connection: a slot each in their arenas and the provider's endpoints are
// proposed, answered and attached.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "base/point.hpp"
#include "socket/io.hpp"
#include "socket/meetings.hpp"
#include "socket/required.hpp"
#include "socket/waiting.hpp"
#include "stream/reason.hpp"

namespace sansock::socket {
namespace {

constexpr uint64_t kFullNs = 1'000'000;  ///< A channel that takes no more is left alone for this long.
constexpr int kAnswerTries = 100;
constexpr long kAnswerPauseNs = 1'000'000;

}  // namespace

namespace {

/// net.core.wmem_max; in a network namespace that does not show it, the kernel's own default.
uint64_t send_buffer_max() {
    static const uint64_t max = [] {
        uint64_t value = 212'992;
        char text[32];
        const UniqueFd file(static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, "/proc/sys/net/core/wmem_max", O_RDONLY | O_CLOEXEC, 0)));
        const long size = file ? raw_syscall(SYS_read, file.get(), text, sizeof text) : 0;
        if (size > 0) std::from_chars(text, text + size, value);
        return value;
    }();
    return max;
}

}  // namespace

/// One arena more for this peer, with buffers of the chosen provider.
stream::Reason Meetings::make_arena(Peer &peer, const Choice &choice) {
    const uint32_t index = peer.our_arenas.load();
    if (index == kArenasPerPeer) return stream::Reason::kMaxMemory;
    const int rc = peer.ours[index].create(choice.buffer_size, choice.max_memory, process_.account(choice.provider));
    if (rc < 0) return rc == -ENOBUFS ? stream::Reason::kMaxMemory : stream::Reason::kNoResources;
    if (choice.carries_messages) peer.ours[index].limit_buffers(0);  // until they are registered (Couriers::start)
    Message message;
    message.type = MessageType::kArena;
    message.arena = index;
    const int sent = peer.far != nullptr ? 0 : send_message(peer.channel, message, peer.ours[index].fd());
    if (sent < 0) {
        peer.ours[index].close();
        return sent == -EPIPE || sent == -ECONNRESET ? stream::Reason::kPeerSilent : stream::Reason::kNoResources;
    }
    peer.ours[index].forget_fd();
    peer.arena_provider[index] = choice.provider;
    peer.our_arenas.store(index + 1);
    return stream::Reason::kNone;
}

stream::Reason Meetings::take_slot(Connection &connection, Peer &peer) {
    Meeting &meeting = meeting_of(connection);
    for (uint32_t arena = 0;; ++arena) {
        if (arena == peer.our_arenas.load()) {
            if (const auto reason = make_arena(peer, meeting.choice); reason != stream::Reason::kNone) return reason;
        }
        if (peer.arena_provider[arena] != meeting.choice.provider) continue;
        if (const auto slot = peer.ours[arena].take_slot()) {
            meeting.arena = arena;
            meeting.slot = *slot;
            meeting.has_slot = true;
            meeting.peer = index_of(peer) + 1;
            return stream::Reason::kNone;
        }
    }
}

void Meetings::propose(Connection &connection, Peer &peer) {
    Meeting &meeting = meeting_of(connection);
    Channel &channel = channels_[index_of(peer)];
    const auto later = [&] {
        meeting.state = Meeting::kRetry;
        wait_until(meeting, channel.full_until_ns);
    };
    if (now_ns() < channel.full_until_ns) return later();
    if (const auto reason = take_slot(connection, peer); reason != stream::Reason::kNone) return give_up(connection, reason);
    if (const auto reason = make_endpoint(meeting); reason != stream::Reason::kNone) return give_up(connection, reason);
    Message message;
    OwnedFds fds;
    if (!process_.runtime()->offer(meeting.endpoint, message.offer, fds)) return give_up(connection, stream::Reason::kNoProvider);
    if (meeting.courier != nullptr) Couriers::introduce(*meeting.courier, message);
    std::memcpy(message.guid, meeting.choice.guid, sizeof message.guid);
    message.type = MessageType::kPropose;
    message.local = connection.shared->local;
    message.remote = connection.shared->remote;
    message.arena = meeting.arena;
    message.slot = meeting.slot;
    message.token = token_of(connection);
    std::memcpy(message.proof, meeting.token, sizeof message.proof);
    const int sent = send(peer, message, connection.fd.load(), fds);
    if (sent == -EAGAIN || sent == -ETOOMANYREFS) {  // the peer has yet to read what it was sent
        channel.full_until_ns = now_ns() + kFullNs;
        return later();
    }
    if (sent < 0) return give_up(connection, stream::Reason::kNoResources);
    SANSOCK_POINT("U1.proposed");
    meeting.slot_named = true;
    meeting.state = Meeting::kProposed;
    wait_until(meeting, meeting.deadline_ns);
}

/// The provider's endpoint for this connection, with its receives posted where it carries messages. Why there is none, or kNone.
stream::Reason Meetings::make_endpoint(Meeting &meeting) {
    if (meeting.endpoint != nullptr) return stream::Reason::kNone;
    if (!meeting.choice.carries_messages) {
        meeting.endpoint = process_.runtime()->create(meeting.choice);
        return meeting.endpoint == nullptr ? stream::Reason::kNoProvider : stream::Reason::kNone;
    }
    stream::Reason reason;
    meeting.courier = couriers_.prepare(meeting.choice, reason);
    if (meeting.courier == nullptr) return reason;
    meeting.endpoint = meeting.courier->endpoint;
    return stream::Reason::kNone;
}

/// The passed socket is the other end of ours: mirrored addresses, established, in our own network namespace (addresses alone
/// can be forged in another one).
Meetings::Proof Meetings::proof(const Connection &connection, const Received &received) const {
    sockaddr_in6 local{}, remote{};
    const int ours = connection.fd.load(), theirs = received.fd.get();
    if (theirs >= 0 && socket_addresses(theirs, local, remote) && same_address(local, connection.shared->remote) &&
        same_address(remote, connection.shared->local) && network_namespace_of(theirs) == network_namespace_of(ours)) {
        return is_established(theirs) ? Proof::kGiven : Proof::kEnded;
    }
    return is_established(ours) ? Proof::kNone : Proof::kEnded;
}

void Meetings::decline(Peer &peer, const Message &proposal, stream::Reason reason) {
    Message message;
    message.type = MessageType::kDecline;
    message.peer_token = proposal.token;
    message.reason = static_cast<uint32_t>(reason);
    message.arena = proposal.arena;
    message.slot = proposal.slot;
    send(peer, message);
}

void Meetings::proposed(Peer &peer, Received &received) {
    const Message &proposal = received.message;
    Connection *connection = find(proposal.remote, proposal.local);
    if (connection == nullptr) return decline(peer, proposal, stream::Reason::kNotYet);
    {
        stream::Guard guard(connection->fd_lock);
        const Proof given = proof(*connection, received);
        if (given == Proof::kEnded) return decline(peer, proposal, stream::Reason::kHalfClosed);
        if (connection->shared->role == Role::kConnect || given == Proof::kNone) {
            // Who holds the other end may still come.
            blame(*connection, stream::Reason::kProtocol, peer, "does not hold the other end that it claims");
            return decline(peer, proposal, stream::Reason::kProtocol);
        }
    }
    Meeting &meeting = meeting_of(*connection);
    end_meeting(meeting);
    meeting.proposal = proposal;
    meeting.proposal_fds = received.more.release();
    for (int &fd : std::span(meeting.proposal_fds.fds, meeting.proposal_fds.count)) fd = process_.hide(fd);
    meeting.peer = index_of(peer) + 1;
    meeting.state = Meeting::kHeld;
    meeting.deadline_ns = now_ns() + process_.policy().rendezvous_timeout_ns;
    SharedConnection &shared = *connection->shared;
    const auto has_had_calls = [&shared] { return shared.calls_in.load() + shared.calls_out.load() != 0; };
    if (!has_had_calls() && shared.requirement.load() == Requirement::kNone) {
        // Nothing says yet that this process moves its bytes where we see them. Answered once it has, with its very next call.
        shared.after_calls.store(1, std::memory_order_relaxed);
        shared.route_known.store(true, std::memory_order_seq_cst);
        full_fence();
        if (!has_had_calls()) return wait_until(meeting, meeting.deadline_ns);
    }
    uint8_t tracked = static_cast<uint8_t>(Phase::kTracked);
    connection->shared->phase.compare_exchange_strong(tracked, static_cast<uint8_t>(Phase::kMeeting));
    begin(*connection);
}

void Meetings::answer(Connection &connection, Peer &peer, const Message &proposal, const OfferFds &fds) {
    Meeting &meeting = meeting_of(connection);
    const auto refuse = [&](stream::Reason reason) {
        decline(peer, proposal, reason);
        give_up(connection, reason);
    };
    if (const auto reason = make_endpoint(meeting); reason != stream::Reason::kNone) return refuse(reason);
    Message message;
    OwnedFds answer_fds;
    if (!process_.runtime()->accept(meeting.endpoint, proposal.offer, fds, message.offer, answer_fds) || !is_usable(meeting)) {
        return refuse(stream::Reason::kNoProvider);
    }
    if (const auto reason = take_slot(connection, peer); reason != stream::Reason::kNone) return refuse(reason);
    const uint32_t arena = meeting.arena, slot = meeting.slot;
    if (meeting.courier != nullptr) Couriers::introduce(*meeting.courier, message);
    if (const auto reason = attach(connection, peer, proposal); reason != stream::Reason::kNone) return refuse(reason);
    message.type = MessageType::kAccept;
    message.arena = arena;
    message.slot = slot;
    message.peer_token = proposal.token;
    message.local = connection.shared->local;
    message.remote = connection.shared->remote;
    SANSOCK_POINT("U1.attached");
    // From here on the peer must hear of it. Its channel is full, or has too many descriptors under way, for no longer than its helper
    // is kept from reading.
    int sent = -EAGAIN;
    bool &deaf = channels_[index_of(peer)].deaf;
    const int most = deaf ? 1 : kAnswerTries;
    for (int tries = 0; tries < most && (sent == -EAGAIN || sent == -ETOOMANYREFS); ++tries) {
        const timespec pause{0, kAnswerPauseNs};
        if (tries > 0) raw_syscall(SYS_nanosleep, &pause, nullptr);
        if (tries > 0 && peer.far != nullptr) far_flush(peer);  // which nobody else would
        sent = send(peer, message, connection.fd.load(), answer_fds);
    }
    deaf = sent == -EAGAIN;
    SANSOCK_POINT("U1.answered");
    if (peer.far != nullptr) far_tell(peer, arena, slot);  // what was said before the peer knew of the slot
    if (sent < 0) connection.end().fail(stream::Reason::kNoResources);
}

void Meetings::accepted(Peer &peer, Received &received) {
    const Message &message = received.message;
    Connection *named = connection_of(message.peer_token);
    if (named == nullptr) return;
    Connection &connection = *named;
    Meeting &meeting = meeting_of(connection);
    if (meeting.state != Meeting::kProposed || meeting.peer != index_of(peer) + 1) return;
    if (connection.phase() != Phase::kMeeting) return end_meeting(meeting);  // it has gone on without: the peer must hear of that at once
    stream::Guard guard(connection.fd_lock);
    if (connection.fd.load() < 0) return end_meeting(meeting);
    if (!process_.runtime()->take_answer(meeting.endpoint, message.offer, received.more) || !is_usable(meeting)) {
        blame(connection, stream::Reason::kNoProvider, peer, "answers what the provider does not take");
        return give_up(connection, stream::Reason::kNoProvider);
    }
    const Proof given = peer.far != nullptr ? Proof::kGiven : proof(connection, received);
    if (given == Proof::kEnded) return give_up(connection, stream::Reason::kHalfClosed);
    if (given == Proof::kNone) {
        blame(connection, stream::Reason::kProtocol, peer, "does not hold the other end that it claims");
        return give_up(connection, stream::Reason::kProtocol);
    }
    if (const auto reason = attach(connection, peer, message); reason != stream::Reason::kNone) give_up(connection, reason);
}

/// With another provider, over the channel that there is, or with somebody else. Under the connection's fd_lock.
void Meetings::meet_again(Connection &connection, const Choice &choice, uint64_t refused, Peer *same) {
    Meeting &meeting = meeting_of(connection);
    const Choice next = choice;  // the meeting's own, perhaps, which ends
    const uint64_t deadline = meeting.deadline_ns;
    const bool far = meeting.registered;
    end_meeting(meeting);
    meeting.deadline_ns = deadline;
    meeting.choice = next;
    meeting.refused = refused;
    if (far) return meet_far(connection);
    return same != nullptr ? propose(connection, *same) : meet_by_name(connection, true);
}

void Meetings::declined(Peer &peer, const Message &message) {
    released(peer, message);
    if (peer.channel < 0) return;
    Connection *named = connection_of(message.peer_token);
    if (named == nullptr) return;
    Connection &connection = *named;
    Meeting &meeting = meeting_of(connection);
    if (meeting.state != Meeting::kProposed || meeting.peer != index_of(peer) + 1) return;
    if (message.reason == static_cast<uint32_t>(stream::Reason::kNotYet)) {
        // That process does not hold the other end, or not yet: another one may. Whoever does will look for our name.
        stream::Guard guard(connection.fd_lock);
        return connection.fd.load() >= 0 ? meet_again(connection, meeting.choice, meeting.refused, nullptr) : end_meeting(meeting);
    }
    if (message.reason == static_cast<uint32_t>(stream::Reason::kHalfClosed)) return give_up(connection, stream::Reason::kHalfClosed);
    const bool drained = message.reason == static_cast<uint32_t>(stream::Reason::kDrained);
    if ((drained || message.reason == static_cast<uint32_t>(stream::Reason::kNoProvider)) && meeting.choice.provider < 64) {
        const uint64_t refused = meeting.refused | uint64_t{1} << meeting.choice.provider;
        const Choice next = process_.runtime()->choose(server_of(*connection.shared), refused, nullptr, peer.far != nullptr);
        if (next.refused == stream::Reason::kNone) {
            stream::Guard guard(connection.fd_lock);
            return connection.fd.load() >= 0 ? meet_again(connection, next, refused, &peer) : end_meeting(meeting);
        }
    }
    if (drained) return give_up(connection, stream::Reason::kDrained);  // we shall hear of it, too
    const char *why = stream::reason_name(static_cast<stream::Reason>(message.reason));
    char what[64];
    snprintf(what, sizeof what, "declines: %s", why == nullptr ? "no reason" : why);
    blame(connection, stream::Reason::kPeerDeclined, peer, what);
    give_up(connection, stream::Reason::kPeerDeclined);
}

void Meetings::watch_socket(Connection &connection, bool bytes) {
    connection.bytes_watched = bytes;
    watch(connection.fd.load(), {Watch::kSocket, connection.index, connection.generation},
          EPOLLRDHUP | EPOLLOUT | EPOLLET | (bytes ? uint32_t{EPOLLIN} : 0));
}

/// A step back must be one send that does not block: keep no more than an empty kernel queue takes.
void fit_window(Connection &connection, const Choice &choice) {
    const int fd = connection.fd.load();
    const uint64_t window = uint64_t{choice.send_buffers} * choice.buffer_size;
    int room = 0;
    socklen_t size = sizeof room;
    raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &room, &size);
    // The kernel doubles what is asked for, of which it grants so much; asking for less than the socket has grown to would shrink it.
    const uint64_t grants = std::min<uint64_t>(window, send_buffer_max());
    if (static_cast<uint64_t>(room) / 2 < grants) {
        const int wanted = static_cast<int>(grants);
        raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted);
        raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &room, &size);
    }
    connection.end().set_window(std::min(window, static_cast<uint64_t>(room) / 2), choice.send_buffers);
}

/// Both slots are known: from now on the stream decides. Or why not.
stream::Reason Meetings::attach(Connection &connection, Peer &peer, const Message &message) {
    Meeting &meeting = meeting_of(connection);
    const uint32_t peer_arena = message.arena, peer_slot = message.slot;
    const bool named = peer.far != nullptr ? far_mirror(peer, peer_arena, peer_slot)
                                           : peer_arena < peer.their_arenas.load() && peer_slot < memory::kSlotsPerArena;
    if (!named && peer.far != nullptr && peer_arena < kArenasPerPeer && peer_slot < memory::kSlotsPerArena)
        return stream::Reason::kNoResources;
    if (!named) {
        blame(connection, stream::Reason::kProtocol, peer, "names memory that it has not shared");
        return stream::Reason::kProtocol;
    }
    stream::Guard no_fork(process_.fork_lock());
    if (!connection.shared->holders.only(static_cast<uint32_t>(process_.pid()))) return stream::Reason::kSharedFd;
    connection.peer = &peer;
    connection.arena = meeting.arena;
    connection.slot = meeting.slot;
    connection.peer_arena = peer_arena;
    connection.peer_slot = peer_slot;
    memory::Arena &arena = peer.ours[meeting.arena];
    const Choice &choice = meeting.choice;
    stream::State &state = connection.shared->stream;
    stream::End::Memory memory{&arena, &arena.slot(meeting.slot), &peer.theirs[peer_arena], &peer.theirs[peer_arena].slot(peer_slot)};
    if (meeting.courier != nullptr) {
        memory.path_arena = &meeting.courier->carrier.landing().view();
        memory.path = &meeting.courier->carrier.landing().slot();
    }
    memory.far = peer.far != nullptr;
    connection.construct_end(memory);
    state.epoch.store(kFirstEpoch, std::memory_order_relaxed);
    if (meeting.courier != nullptr) {
        if (!couriers_.start(*meeting.courier, connection, choice, kFirstEpoch, message)) {
            connection.mapped.store(false, std::memory_order_release);
            return stream::Reason::kNoProvider;
        }
        couriers_.listen(*meeting.courier, epoll_fd_, Watch{Watch::kCourier, Couriers::index_of(*meeting.courier)}.pack());
    } else {
        connection.endpoint = meeting.endpoint;
    }
    meeting.courier = nullptr;
    meeting.endpoint = nullptr;
    std::memcpy(connection.shared->guid, choice.guid, sizeof choice.guid);
    std::memcpy(connection.shared->plugin, choice.plugin, sizeof choice.plugin);
    const int fd = connection.fd.load();
    int shown = 0;
    socklen_t size = sizeof shown;
    raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDBUF, &shown, &size);
    connection.shared->send_buffer_shown.store(static_cast<uint32_t>(shown), std::memory_order_relaxed);
    fit_window(connection, choice);
    state.out.segment_buffer = memory::kInlineBuffer;
    timeval timeout{};
    size = sizeof timeout;
    if (raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, &size) == 0)
        connection.shared->receive_timeout_ns = to_ns(timeout);
    size = sizeof timeout;
    if (raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, &size) == 0) connection.shared->send_timeout_ns = to_ns(timeout);

    peer.connection_of_slot[peer_arena][peer_slot].store(connection.index + 1, std::memory_order_release);
    peer.connections.fetch_add(1);
    watch_socket(connection, false);
    meeting.has_slot = false;
    end_meeting(meeting);
    SANSOCK_POINT("U1.mapped");
    state.required = connection.shared->requirement.load() == Requirement::kRequired;
    state.attached.store(1, std::memory_order_release);
    uint8_t phase = static_cast<uint8_t>(Phase::kMeeting);
    if (!connection.shared->phase.compare_exchange_strong(phase, static_cast<uint8_t>(Phase::kAttached))) {
        // The application has shut it down or handed it on meanwhile. The peer learns that it stays on TCP.
        memory::Slot &slot = arena.slot(connection.slot);
        slot.cold.pinned.store(1, std::memory_order_release);
        slot.hot.attention.fetch_add(1, std::memory_order_release);
        if (peer.far != nullptr) far_tell(peer, connection.arena, connection.slot);
    } else if (state.lent.load(std::memory_order_seq_cst) != 0) {  // since we last looked
        connection.end().tell_lent();
    } else if (state.required) {
        get_ready(connection);
        required_due_ns_ = std::min(required_due_ns_, connection.required_until_ns);
        next_due_ns_ = std::min(next_due_ns_, required_due_ns_);
    }
    if (connection.shared->requirement.load() != Requirement::kNone) wake_held_back(connection);
    return stream::Reason::kNone;
}

}  // namespace sansock::socket
