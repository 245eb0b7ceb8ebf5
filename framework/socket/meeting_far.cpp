// How two processes of different hosts find each other, and what their helpers say. The daemons of both hosts (socket/agent_message.hpp)
// bring them together: the end that connected asks who holds the other one, is given a token that the holder is told of as well, and
// connects to that process through its daemon, unless it has a channel to it already. From then on the daemons have no part in it.
//
// That an end holds its connection its own daemon has seen, by a duplicate of the socket; the two daemons vouch for each other by their
// certificates; and the token stands for both.
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>

#include "socket/io.hpp"
#include "socket/meetings.hpp"
#include "socket/report.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

constexpr uint64_t kLookNs = 6'000'000, kLookNsMax = 500'000'000;  ///< Between two look-ups; doubled.
constexpr uint64_t kLostNs = 1'000'000'000;                        ///< How long a process's sockets may take to end behind its channel.
constexpr uint64_t kRestNs = 20'000'000, kRestNsMax = 1'000'000'000;
constexpr uint64_t kFullNs = 2'000'000;  ///< A daemon that takes no more is asked again after this long.
constexpr int kMessagesAtOnce = 64;
constexpr const char *kNoSuchMemory = "names memory that we have not shared";

/// As the kernel wants it: IPv4 is written as v4-mapped everywhere else.
socklen_t as_kernel_address(const sockaddr_in6 &from, sockaddr_storage &to) {
    to = {};
    if (!IN6_IS_ADDR_V4MAPPED(&from.sin6_addr)) {
        std::memcpy(&to, &from, sizeof from);
        return sizeof from;
    }
    auto &v4 = reinterpret_cast<sockaddr_in &>(to);
    v4.sin_family = AF_INET;
    v4.sin_port = from.sin6_port;
    std::memcpy(&v4.sin_addr, &from.sin6_addr.s6_addr[12], sizeof v4.sin_addr);
    return sizeof v4;
}

/// A firewall shall not forget the channel, and a host that has restarted says soon that it knows nothing of it. Of one that is silent, as
/// behind a cut cable, TCP itself is the judge, as of the application's connections. So no TCP_USER_TIMEOUT: a retransmission that turns
/// out to have been needless leaves the kernel with an old time stamp, from which the next loss is counted (tcp_try_undo_loss, seen
/// with 6.1).
void prepare(int fd) {
    const int on = 1;
    raw_syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    const int idle_s = 15, every_s = 5, count = 127;  // the kernel's most, ten minutes
    raw_syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    raw_syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    raw_syscall(SYS_setsockopt, fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

bool same_token(const uint8_t (&one)[kTokenSize], const uint8_t (&other)[kTokenSize]) { return std::memcmp(one, other, kTokenSize) == 0; }

/// The kernel has seen the peer's end of the application's connection. Our own shutdown(SHUT_RD) looks alike to poll, and a message in the
/// socket's error queue is no reset.
stream::TcpEnd end_of_tcp(int fd) {
    pollfd look{fd, POLLRDHUP, 0};
    const timespec none{};
    if (raw_syscall(SYS_ppoll, &look, 1, &none, nullptr, 8) != 1) return stream::kTcpOpen;
    if ((look.revents & POLLHUP) != 0) return (look.revents & POLLERR) != 0 ? stream::kTcpReset : stream::kTcpFin;
    return is_established(fd) ? stream::kTcpOpen : stream::kTcpFin;
}

}  // namespace

int Meetings::send(Peer &peer, const Message &message, int fd, const OfferFds &more) {
    if (peer.far == nullptr) return send_message(peer.channel, message, fd, more);
    return far_send(peer, FarType::kMessage, &message, sizeof message);
}

/// Under the connection's fd_lock.
void Meetings::meet_far(Connection &connection) {
    Meeting &meeting = meeting_of(connection);
    if (!agent_->tell(AgentType::kRegister, token_of(connection), *connection.shared, connection.fd.load())) return ask_later(connection);
    meeting.registered = true;
    if (connection.shared->role == Role::kConnect) return look_up(connection);
    meeting.state = Meeting::kAwaiting;
    wait_until(meeting, meeting.deadline_ns);
}

/// Those that wait to be found, and those that could not ask.
void Meetings::daemon_is_there() {
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Meeting &meeting = meetings_[i];
        if (meeting.state != Meeting::kAwaiting && (meeting.state != Meeting::kRetry || meeting.failures == 0)) continue;
        const uint64_t now = now_ns();
        if (process_.connection_at(i).shared->role == Role::kConnect) meeting.deadline_ns = now + process_.policy().rendezvous_timeout_ns;
        meeting.state = Meeting::kRetry;
        wait_until(meeting, now);
    }
}

/// The daemon has gone, or has yet to read what it was told.
void Meetings::ask_later(Connection &connection) {
    if (!agent_->is_connected()) {
        set_detail(connection, kNoDaemon);
        return give_up(connection, stream::Reason::kRemoteHost);
    }
    Meeting &meeting = meeting_of(connection);
    const uint64_t now = now_ns();
    if (now >= meeting.deadline_ns) return give_up(connection, stream::Reason::kPeerSilent);
    meeting.state = Meeting::kRetry;
    wait_until(meeting, now + kFullNs);
}

void Meetings::look_up(Connection &connection) {
    Meeting &meeting = meeting_of(connection);
    if (!agent_->tell(AgentType::kLookUp, token_of(connection), *connection.shared)) return ask_later(connection);
    meeting.state = Meeting::kLooking;
    wait_until(meeting, meeting.deadline_ns);
}

/// Whoever holds the other end may have yet to move enough.
void Meetings::look_up_again(Connection &connection) {
    Meeting &meeting = meeting_of(connection);
    const uint64_t wait = std::clamp(2 * meeting.look_wait_ns, kLookNs, kLookNsMax);
    meeting.look_wait_ns = wait;
    meeting.state = Meeting::kLooking;
    wait_until(meeting, std::min(now_ns() + wait, meeting.deadline_ns));
}

void Meetings::found(const AgentFound &found) {
    Connection *named = connection_of(found.id);
    if (named == nullptr || named->phase() != Phase::kMeeting) return;
    Connection &connection = *named;
    Meeting &meeting = meeting_of(connection);
    if (meeting.state != Meeting::kLooking && meeting.state != Meeting::kAwaiting) return;
    char why[kDetailMax];
    static_assert(sizeof why <= sizeof found.why);
    std::memcpy(why, found.why, sizeof why);
    why[sizeof why - 1] = '\0';
    if (found.status != FoundStatus::kHere) set_detail(connection, why);
    stream::Guard guard(connection.fd_lock);
    if (connection.fd.load() < 0) return;
    switch (found.status) {
        case FoundStatus::kNotThere:
        case FoundStatus::kBusy:
            if (meeting.state == Meeting::kLooking) look_up_again(connection);
            return;
        case FoundStatus::kHere: break;
        default: return give_up(connection, stream::Reason::kRemoteHost);
    }
    if (meeting.state != Meeting::kLooking) return;
    std::memcpy(meeting.token, found.token, sizeof meeting.token);
    for (Peer &peer : process_.peers()) {
        const bool known = peer.used.load() != 0 && peer.channel.load() >= 0 && peer.far != nullptr && peer.far->holder == found.holder;
        if (known && channels_[index_of(peer)].state == Channel::kUp) return propose(connection, peer);
        if (known) return look_up_again(connection);  // the channel is on its way
    }
    connect_far(connection, found);
}

Peer *Meetings::new_far_peer(HiddenFd fd, uint64_t holder) {
    if (links_ == nullptr) {
        void *memory =
            mmap(nullptr, kPeersMax * sizeof(FarLink), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return nullptr;
        links_ = static_cast<FarLink *>(memory);
    }
    Peer *peer = process_.new_peer();
    if (peer == nullptr) return nullptr;
    FarLink &link = links_[index_of(*peer)];                                // zeroed, or a former peer's
    for (memory::Arena &mirror : link.mirrors) std::construct_at(&mirror);  // a former peer's are closed
    link.unsent = link.received = 0;
    link.lost_ns = 0;
    link.broke.store(false);
    link.flush_wanted.store(false);
    link.writable_watched = false;
    for (auto *owed : {&link.owed_words, &link.owed_answers, &link.owed_questions}) {
        for (auto &arena : owed->slots) std::ranges::fill(arena, 0);
    }
    link.owes.store(false);
    link.holder = holder;
    link.owner = process_.pid();
    link.owner_doorbell = process_.hide(static_cast<int>(raw_syscall(SYS_fcntl, process_.helper_doorbell(), F_DUPFD_CLOEXEC, 0)));
    peer->far = &link;
    peer->uid = static_cast<uint32_t>(-1);
    prepare(fd.get());
    peer->channel = fd.release();
    channels_[index_of(*peer)] = {};
    watch(peer->channel, {Watch::kChannel, index_of(*peer)}, EPOLLIN);
    return peer;
}

/// Under the connection's fd_lock.
void Meetings::connect_far(Connection &connection, const AgentFound &found) {
    sockaddr_storage from, to;
    sockaddr_in6 ours = connection.shared->local;
    ours.sin6_port = 0;
    const socklen_t from_size = as_kernel_address(ours, from), to_size = as_kernel_address(found.channel, to);
    HiddenFd fd(process_.hide(static_cast<int>(raw_syscall(SYS_socket, to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))));
    const long bound = fd ? raw_syscall(SYS_bind, fd.get(), &from, from_size) : -EMFILE;
    const long connected = bound < 0 ? bound : raw_syscall(SYS_connect, fd.get(), &to, to_size);
    Peer *peer = connected == 0 || connected == -EINPROGRESS ? new_far_peer(std::move(fd), found.holder) : nullptr;
    if (peer == nullptr) {
        set_detail(connection, "no channel to the other host");
        return give_up(connection, stream::Reason::kNoResources);
    }
    ChannelOpening opening;
    std::memcpy(opening.token, found.token, sizeof opening.token);
    far_begin(*peer, &opening, sizeof opening);
    Channel &channel = channels_[index_of(*peer)];
    Meeting &meeting = meeting_of(connection);
    channel.connected_by_us = true;
    channel.first = token_of(connection);
    channel.deadline_ns = meeting.deadline_ns;
    meeting.state = Meeting::kConnecting;
    wait_until(meeting, meeting.deadline_ns);
    Message hello;
    hello.pid = process_.pid();
    hello.started = started_;
    send(*peer, hello);
}

void Meetings::expect(const AgentExpect &expect) {
    Connection *connection = connection_of(expect.id);
    if (connection == nullptr) return;
    Meeting &meeting = meeting_of(*connection);
    if (meeting.state != Meeting::kAwaiting) return;
    std::memcpy(meeting.token, expect.token, sizeof meeting.token);
    meeting.expected = true;
}

void Meetings::channel(const AgentChannel &channel, UniqueFd fd) {
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        const Meeting &meeting = meetings_[i];
        if (meeting.state != Meeting::kAwaiting || !meeting.expected || !same_token(meeting.token, channel.token)) continue;
        HiddenFd hidden(process_.hide(fd.release()));
        Peer *peer = new_far_peer(std::move(hidden), 0);
        if (peer == nullptr) return;
        channels_[index_of(*peer)].deadline_ns = now_ns() + process_.policy().rendezvous_timeout_ns;
        next_due_ns_ = std::min(next_due_ns_, channels_[index_of(*peer)].deadline_ns);
        Message hello;
        hello.pid = process_.pid();
        hello.started = started_;
        send(*peer, hello);
        return;
    }
}

void Meetings::far_readable(Peer &peer) {
    if (peer.far->writable_watched) flush_far();
    for (int i = 0; i < kMessagesAtOnce; ++i) {
        if (peer.used.load() == 0 || peer.channel < 0) return;
        FarHead head;
        const uint8_t *body = nullptr;
        const int rc = far_receive(peer, head, body);
        if (rc == -EAGAIN) return;
        if (rc == -EPROTO) return broke_protocol(peer, "sends what is no message");
        if (rc < 0) {
            if (rc != -EPIPE) peer.far->broke.store(true);
            return close_channel(peer);
        }
        const auto read = [&](auto &message) {
            if (head.size != sizeof message) return false;
            std::memcpy(&message, body, sizeof message);
            return true;
        };
        Received received;
        FarWords words;
        FarSlot slot;
        if (head.type == FarType::kMessage && read(received.message) && received.message.magic == kMessageMagic) {
            far_message(peer, received);
        } else if (head.type == FarType::kWords && read(words)) {
            far_words(peer, words);
        } else if (head.type == FarType::kAsk && read(slot)) {
            if (slot.arena >= peer.our_arenas.load() || slot.slot >= memory::kSlotsPerArena) return broke_protocol(peer, kNoSuchMemory);
            far_ask(peer, FarType::kTold, slot);
        } else if (head.type == FarType::kTold && read(slot)) {
            far_told(peer, slot);
        } else {
            return broke_protocol(peer, "sends what is no message");
        }
    }
}

void Meetings::far_message(Peer &peer, Received &received) {
    const Channel::State state = channels_[index_of(peer)].state;
    const MessageType type = received.message.type;
    if ((state == Channel::kNew) != (type == MessageType::kHello)) return broke_protocol(peer, "sends a message out of turn");
    switch (type) {
        case MessageType::kHello: return far_hello(peer, received.message);
        case MessageType::kPropose: return far_proposed(peer, received.message);
        case MessageType::kAccept: return accepted(peer, received);
        case MessageType::kDecline: return declined(peer, received.message);
        case MessageType::kReleased: return released(peer, received.message);
        case MessageType::kReturn: return asked_to_return(peer, received);
        case MessageType::kReturned: return returned(peer, received);
        default: return broke_protocol(peer, "sends a message out of turn");
    }
}

void Meetings::far_hello(Peer &peer, const Message &message) {
    if (message.version != kMessageVersion) return broke_protocol(peer, "speaks another version");
    Channel &channel = channels_[index_of(peer)];
    peer.pid = message.pid;
    peer.started = message.started;
    channel.state = Channel::kUp;
    peer.alive.store(true);
    Connection *first = first_of(channel);
    channel.first = 0;
    if (first == nullptr) return;
    stream::Guard guard(first->fd_lock);
    if (first->fd.load() >= 0) propose(*first, peer);
}

void Meetings::far_proposed(Peer &peer, const Message &proposal) {
    Connection *connection = find(proposal.remote, proposal.local);
    Meeting *meeting = connection == nullptr ? nullptr : &meeting_of(*connection);
    const bool expected = meeting != nullptr && meeting->state == Meeting::kAwaiting && connection->phase() == Phase::kMeeting &&
                          meeting->expected && same_token(meeting->token, proposal.proof);
    if (!expected) return decline(peer, proposal, stream::Reason::kNotYet);
    stream::Guard guard(connection->fd_lock);
    const int fd = connection->fd.load();
    SharedConnection &shared = *connection->shared;
    const auto refuse = [&](stream::Reason reason) {
        decline(peer, proposal, reason);
        give_up(*connection, reason);
    };
    meeting->expected = false;  // once
    if (fd < 0 || !is_established(fd)) return decline(peer, proposal, stream::Reason::kHalfClosed);
    if (!shared.holders.only(static_cast<uint32_t>(process_.pid())) || shared.stream.lent.load() != 0)
        return refuse(stream::Reason::kSharedFd);
    char wanted[sizeof proposal.guid];
    std::memcpy(wanted, proposal.guid, sizeof wanted);
    wanted[sizeof wanted - 1] = '\0';
    meeting->choice = process_.runtime()->choose(server_of(shared), 0, wanted, true);
    if (meeting->choice.refused == stream::Reason::kNoProvider) {  // the peer may propose another, with a token of its own
        meeting->deadline_ns = std::max(meeting->deadline_ns, now_ns() + process_.policy().rendezvous_timeout_ns);
        wait_until(*meeting, meeting->deadline_ns);
        return decline(peer, proposal, stream::Reason::kNoProvider);
    }
    if (meeting->choice.refused != stream::Reason::kNone) return refuse(meeting->choice.refused);
    answer(*connection, peer, proposal, {});
}

/// The connection whose peer has that slot.
Connection *Meetings::attached_at(Peer &peer, const FarSlot &slot) {
    if (slot.arena >= kArenasPerPeer || slot.slot >= memory::kSlotsPerArena) return nullptr;
    const uint32_t index = peer.connection_of_slot[slot.arena][slot.slot].load(std::memory_order_acquire);
    return index == 0 ? nullptr : &process_.connection_at(index - 1);
}

void Meetings::far_words(Peer &peer, const FarWords &words) {
    Connection *connection = attached_at(peer, words.of);
    if (connection == nullptr) return;  // we have left it
    stream::Guard guard(connection->fd_lock);
    if (attached_at(peer, words.of) != connection || !connection->mapped.load()) return;
    stream::lay_down(words.words, peer.far->mirrors[words.of.arena].slot(words.of.slot));
    process_.ring_helper();  // looks after it, with whatever else has come
}

void Meetings::ask_before_end(Connection &connection) {
    Peer &peer = *connection.peer;
    if (peer.channel.load() >= 0) return far_ask(peer, FarType::kAsk, {connection.peer_arena, connection.peer_slot});
    connection.end().tcp_ended(end_of_tcp(connection.fd.load()));
}

void Meetings::far_told(Peer &peer, const FarSlot &slot) {
    Connection *connection = attached_at(peer, slot);
    if (connection == nullptr) return;
    stream::Guard guard(connection->fd_lock);
    if (attached_at(peer, slot) != connection || !connection->mapped.load() || !connection->is_open()) return;
    if (connection->end().attention_pending()) connection->end().progress();
    if (const stream::TcpEnd how = end_of_tcp(connection->fd.load()); how != stream::kTcpOpen) connection->end().tcp_ended(how);
    process_.ring_helper();
}

/// No word of the peer's process comes any more. Where it has died, its sockets end at the same moment, or a little later.
void Meetings::far_lost(Peer &peer) {
    peer.far->lost_ns = now_ns();
    expire_far(peer.far->lost_ns);
}

void Meetings::expire_far(uint64_t now) {
    for (Peer &peer : process_.peers()) {
        if (peer.used.load() == 0 || peer.far == nullptr || peer.far->lost_ns == 0) continue;
        const bool over = now >= peer.far->lost_ns + kLostNs;
        for (uint32_t i = 0; i < process_.connections_used(); ++i) {
            Connection &connection = process_.connection_at(i);
            if (!connection.is_open() || connection.phase() == Phase::kFree) continue;
            stream::Guard guard(connection.fd_lock);
            if (!connection.is_open() || !connection.mapped.load() || connection.peer != &peer) continue;
            const stream::TcpEnd how = end_of_tcp(connection.fd.load());
            if (how != stream::kTcpOpen) {
                connection.end().tcp_ended(how);
            } else if (over && connection.phase() != Phase::kTcpOnly) {
                if (!connection.end().peer_falls_silent(!peer.far->broke.load()))
                    set_detail(connection, "the channel to the peer's process broke");
            }
        }
        if (over) {
            peer.far->lost_ns = 0;
        } else {
            next_due_ns_ = std::min(next_due_ns_, peer.far->lost_ns + kLostNs);
        }
        process_.ring_helper();
    }
}

/// Connections to other hosts that have fallen silent: what the peer has read of the last bytes it tells when it is asked, and then nothing
/// is kept any more that our death would cost.
void Meetings::rest_far(uint64_t now) {
    if (now < rest_due_ns_) return;
    rest_due_ns_ = UINT64_MAX;
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Connection &connection = process_.connection_at(i);
        if (!connection.is_open()) continue;
        stream::Guard guard(connection.fd_lock);
        if (!connection.is_open() || !connection.mapped.load() || connection.peer->far == nullptr) continue;
        const uint64_t out = connection.end().state().out.out.load(std::memory_order_relaxed);
        if (std::exchange(connection.far_sent, out) != out) {
            connection.far_wait_ns = kRestNs;
            connection.far_due_ns = now + kRestNs;
        } else if (connection.end().rest_guard()) {
            continue;
        } else if (now >= connection.far_due_ns) {
            ask_how_far(connection);
            connection.far_wait_ns = std::min(2 * connection.far_wait_ns, kRestNsMax);
            connection.far_due_ns = now + connection.far_wait_ns;
        }
        rest_due_ns_ = std::min(rest_due_ns_, connection.far_due_ns);
    }
}

void Meetings::flush_far() {
    if (links_ == nullptr) return;
    rest_due_ns_ = std::min(rest_due_ns_, now_ns() + kRestNs);
    next_due_ns_ = std::min(next_due_ns_, rest_due_ns_);
    for (Peer &peer : process_.peers()) {
        if (peer.used.load() == 0 || peer.far == nullptr || peer.channel.load() < 0) continue;
        FarLink &link = *peer.far;
        if (link.owner != process_.pid()) continue;
        const bool wanted = link.flush_wanted.load() || link.writable_watched || link.owes.load();
        const bool all = !wanted || far_flush(peer);
        if (all == link.writable_watched) {
            link.writable_watched = !all;
            watch(peer.channel, {Watch::kChannel, index_of(peer)}, all ? uint32_t{EPOLLIN} : EPOLLIN | EPOLLOUT);
        }
        if (all) far_pay(peer);
    }
}

}  // namespace sansock::socket
