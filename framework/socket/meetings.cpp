#include "socket/meetings.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "base/point.hpp"
#include "socket/io.hpp"
#include "socket/report.hpp"
#include "socket/required.hpp"
#include "socket/young.hpp"

namespace sansock::socket {
namespace {

constexpr uint64_t kSharedRetryNs = 1'000'000;  ///< First; doubled from then on.
constexpr uint64_t kRingsNs = 200'000'000;
constexpr uint64_t kBindDelayNs = 2'000'000;  ///< An acceptor that has channels gives the peer this long to propose over one.

bool same_host(const Connection &connection) {
    const in6_addr &remote = connection.shared->remote.sin6_addr;
    const in6_addr &local = connection.shared->local.sin6_addr;
    const bool v4_loopback = IN6_IS_ADDR_V4MAPPED(&remote) && remote.s6_addr[12] == 127;
    // A host that talks to one of its own addresses uses it as its source as well.
    return v4_loopback || IN6_IS_ADDR_LOOPBACK(&remote) || std::memcmp(&remote, &local, sizeof remote) == 0;
}

/// It is no candidate any more, until its next call.
void begin_again_later(Connection &connection) {
    uint8_t meeting = static_cast<uint8_t>(Phase::kMeeting);
    connection.shared->phase.compare_exchange_strong(meeting, static_cast<uint8_t>(Phase::kTracked));
}

/// The connection has become a candidate by the earliest limit of all routes: by that of its own, too? If not, that one holds from now on.
bool is_reached(SharedConnection &shared, const Choice &choice) {
    if (choice.required || choice.refused != stream::Reason::kNone || shared.route_known.load(std::memory_order_relaxed)) return true;
    shared.after_calls.store(choice.after_calls, std::memory_order_relaxed);
    shared.after_bytes.store(choice.after_bytes, std::memory_order_relaxed);
    shared.route_known.store(true, std::memory_order_release);
    return is_worth_moving(shared, shared.calls_in.load(std::memory_order_relaxed) + shared.calls_out.load(std::memory_order_relaxed));
}

}  // namespace

bool Meetings::open() {
    auto reserve = [](size_t size) {
        void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        return memory == MAP_FAILED ? nullptr : memory;
    };
    meetings_ = static_cast<Meeting *>(reserve(kConnectionsMax * sizeof(Meeting)));
    channels_ = static_cast<Channel *>(reserve(kPeersMax * sizeof(Channel)));
    const int fd = static_cast<int>(raw_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
    if (meetings_ == nullptr || channels_ == nullptr || fd < 0) return false;
    epoll_fd_ = process_.hide(fd);
    started_ = process_start_time(process_.pid());
    // A parent's channels are up, and its helper's to read and to close.
    for (Peer &peer : process_.peers()) channels_[index_of(peer)].state = Channel::kUp;
    watch(process_.helper_doorbell(), {Watch::kDoorbell}, EPOLLIN);
    return true;
}

void Meetings::watch(int fd, const Watch &watch, uint32_t events) const {
    epoll_event event{events, {.u64 = watch.pack()}};
    if (raw_syscall(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_ADD, fd, &event) != -EEXIST) return;
    raw_syscall(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_MOD, fd, &event);  // a socket that was connected before
}

void Meetings::unwatch(int fd) const {
    epoll_event none{};
    raw_syscall(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_DEL, fd, &none);
}

void Meetings::stop_listening(Meeting &meeting) const {
    unwatch(meeting.listener - 1);
    process_.close_hidden(meeting.listener - 1);
    meeting.listener = 0;
}

void Meetings::wait_until(Meeting &meeting, uint64_t due_ns) {
    meeting.due_ns = due_ns;
    if (due_ns < next_due_ns_) next_due_ns_ = due_ns;
}

Meetings::Meeting &Meetings::meeting_of(Connection &connection) {
    Meeting &meeting = meetings_[connection.index];
    if (meeting.generation != connection.generation) {
        end_meeting(meeting);
        meeting.generation = connection.generation;
        meeting.failures = 0;
    }
    return meeting;
}

void Meetings::end_meeting(Meeting &meeting) {
    if (meeting.listener > 0) stop_listening(meeting);
    if (meeting.registered) {
        const auto index = static_cast<uint32_t>(&meeting - meetings_);
        agent_->forget(uint64_t{meeting.generation} << 32 | index);
    }
    if (meeting.state == Meeting::kHeld) {
        decline(process_.peers()[meeting.peer - 1], meeting.proposal, stream::Reason::kPeerSilent);
    }
    if (meeting.has_slot) {
        memory::Arena &arena = process_.peers()[meeting.peer - 1].ours[meeting.arena];
        if (meeting.slot_named) {
            // Our answer may cross the peer's: should it attach to this slot after all, it finds that we stay on TCP, having gone back
            // there already, or it would wait for our part in a step of its own.
            memory::Slot &slot = arena.slot(meeting.slot);
            slot.cold.pinned.store(1, std::memory_order_release);
            slot.cold.frozen.store(kFirstEpoch, std::memory_order_release);
            slot.cold.step.store(kFirstEpoch, std::memory_order_release);
            slot.cold.stepped.store(kFirstEpoch, std::memory_order_release);
            slot.hot.attention.fetch_add(1, std::memory_order_release);
            Peer &peer = process_.peers()[meeting.peer - 1];
            if (peer.far != nullptr) far_tell(peer, meeting.arena, meeting.slot);
            arena.end_slot(meeting.slot, memory::Arena::kOurEnd);
            const uint64_t one = 1;
            if (peer.helper_doorbell > 0) raw_syscall(SYS_write, peer.helper_doorbell, &one, sizeof one);
        } else {
            arena.give_slot(meeting.slot);
        }
    }
    if (meeting.courier != nullptr) {
        couriers_.close(*meeting.courier);
    } else if (meeting.endpoint != nullptr) {
        process_.runtime()->close(meeting.endpoint);
    }
    const OwnedFds unused(meeting.proposal_fds);
    meeting = {.generation = meeting.generation, .failures = meeting.failures};
}

void Meetings::begin(Connection &connection, uint64_t deadline_ns) {
    Meeting &meeting = meeting_of(connection);
    const bool peer_wants = meeting.state == Meeting::kHeld;
    Message proposal = meeting.proposal;
    proposal.guid[sizeof proposal.guid - 1] = '\0';
    const OwnedFds proposal_fds(std::exchange(meeting.proposal_fds, {}));
    Peer *asking = peer_wants ? &process_.peers()[meeting.peer - 1] : nullptr;
    if (peer_wants) meeting.state = Meeting::kIdle;  // answered below, not declined
    end_meeting(meeting);
    const auto refuse = [&](stream::Reason reason) {
        if (peer_wants) decline(*asking, proposal, reason);
        give_up(connection, reason);
    };

    stream::Guard guard(connection.fd_lock);
    const int fd = connection.fd.load();
    SharedConnection &shared = *connection.shared;
    if (fd < 0 || !socket_addresses(fd, shared.local, shared.remote)) return refuse(stream::Reason::kNoResources);
    if (shared.requirement.load() != Requirement::kNone) {
        if (!settle_requirement(connection) && !peer_wants) return let_go(connection);
        if (shared.requirement.load() == Requirement::kRequired) deadline_ns = connection.required_until_ns;
    }
    if (has_rings()) return refuse(stream::Reason::kIoUring);
    const bool far = !same_host(connection);
    if (far && !agent_->is_connected()) {
        set_detail(connection, kNoDaemon);
        return refuse(stream::Reason::kRemoteHost);
    }
    if (same_address(shared.local, shared.remote)) return refuse(stream::Reason::kUnmodelled);
    if (!shared.holders.only(static_cast<uint32_t>(process_.pid())) || shared.stream.lent.load() != 0) {
        const uint64_t now = now_ns();
        if (now >= deadline_ns) return refuse(stream::Reason::kSharedFd);
        // A server that forks for every connection closes its own copy in a moment.
        if (peer_wants) decline(*asking, proposal, stream::Reason::kNotYet);
        const uint64_t waited =
            process_.policy().rendezvous_timeout_ns - std::min(deadline_ns - now, process_.policy().rendezvous_timeout_ns);
        meeting.deadline_ns = deadline_ns;
        meeting.state = Meeting::kRetry;
        return wait_until(meeting, std::min(deadline_ns, now + std::max(kSharedRetryNs, waited)));
    }
    if (process_.runtime() == nullptr) return refuse(stream::Reason::kNoProvider);
    meeting.choice = process_.runtime()->choose(server_of(shared), 0, peer_wants ? proposal.guid : nullptr, far);
    if (!peer_wants && !is_reached(shared, meeting.choice)) return begin_again_later(connection);
    if (peer_wants && meeting.choice.refused == stream::Reason::kNoProvider) {  // the peer may propose another
        decline(*asking, proposal, stream::Reason::kNoProvider);
        connection.set_reason(stream::Reason::kNoProvider);
        return begin_again_later(connection);
    }
    if (meeting.choice.refused != stream::Reason::kNone) return refuse(meeting.choice.refused);
    meeting.deadline_ns = deadline_ns;
    SANSOCK_POINT("U1.chosen");
    if (far) return meet_far(connection);
    if (peer_wants) return answer(connection, *asking, proposal, proposal_fds);
    if (shared.role == Role::kConnect) {
        if (Peer *peer = channel_for(connection)) return propose(connection, *peer);
        return meet_by_name(connection, true);
    }
    bool has_channels = false;
    for (Peer &peer : process_.peers()) has_channels |= peer.used.load() != 0 && peer.alive.load();
    meet_by_name(connection, !has_channels);
}

/// Rings that were set up where we did not see it show in the map of the process's memory, which is long to read: now and then.
bool Meetings::has_rings() {
    const uint64_t now = now_ns();
    if (process_.has_rings() || now < rings_looked_ns_ + kRingsNs) return process_.has_rings();
    rings_looked_ns_ = now;
    const UniqueFd maps(static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC, 0)));
    constexpr char kRing[] = "anon_inode:[io_uring]";
    static char text[16 * 1024];
    size_t kept = 0;
    for (long got; maps && (got = raw_syscall(SYS_read, maps.get(), text + kept, sizeof text - kept)) > 0;) {
        const std::string_view part(text, kept + static_cast<size_t>(got));
        if (part.find(kRing) != std::string_view::npos) process_.note_rings();
        kept = std::min(part.size(), sizeof kRing);
        std::memmove(text, text + part.size() - kept, kept);
    }
    return process_.has_rings();
}

/// Whether the connection's route requires the upgrade.
bool Meetings::settle_requirement(Connection &connection) {
    SharedConnection &shared = *connection.shared;
    if (shared.requirement.load() == Requirement::kAsked && process_.runtime() != nullptr) {
        const bool required = process_.runtime()->choose(server_of(shared), 0, nullptr).required;
        shared.requirement.store(required ? Requirement::kRequired : Requirement::kNone, std::memory_order_release);
        if (!required) wake_held_back(connection);
    }
    if (shared.requirement.load() == Requirement::kNone) return false;
    if (connection.required_until_ns == 0) connection.required_until_ns = now_ns() + process_.policy().require_timeout_ns;
    return true;
}

Peer *Meetings::channel_for(const Connection &connection) {
    for (Peer &peer : process_.peers()) {
        const Channel &channel = channels_[index_of(peer)];
        if (peer.used.load() != 0 && peer.alive.load() && channel.state == Channel::kUp && channel.connected_by_us && peer.far == nullptr &&
            same_address(channel.server, connection.shared->remote)) {
            return &peer;
        }
    }
    return nullptr;
}

void Meetings::meet_by_name(Connection &connection, bool may_bind) {
    Meeting &meeting = meeting_of(connection);
    const SharedConnection &shared = *connection.shared;
    const bool connector = shared.role == Role::kConnect;
    const auto name = meeting_name(network_namespace_of(connection.fd.load()), connector ? shared.local : shared.remote,
                                   connector ? shared.remote : shared.local);
    for (;;) {
        if (const int fd = connect_meeting(name); fd >= 0) {
            meeting.state = Meeting::kConnecting;
            wait_until(meeting, meeting.deadline_ns);
            return new_channel(HiddenFd(process_.hide(fd)), connection, connector);
        }
        if (!may_bind) {
            meeting.state = Meeting::kBinding;
            return wait_until(meeting, now_ns() + kBindDelayNs);
        }
        const int listener = bind_meeting(name);
        if (listener >= 0) {
            const int hidden = process_.hide(listener);
            meeting.listener = hidden + 1;
            meeting.state = Meeting::kListening;
            watch(hidden, {Watch::kMeeting, connection.index}, EPOLLIN);
            return wait_until(meeting, meeting.deadline_ns);
        }
        if (listener != -EADDRINUSE) return give_up(connection, stream::Reason::kNoResources);
        may_bind = false;  // the other end is about to listen: it may be kept off the CPU between its two calls
    }
}

void Meetings::meeting_readable(uint32_t connection_index) {
    Connection &connection = process_.connection_at(connection_index);
    Meeting &meeting = meeting_of(connection);
    if (meeting.state != Meeting::kListening) return;
    const long fd = raw_syscall(SYS_accept4, meeting.listener - 1, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    stop_listening(meeting);
    meeting.state = Meeting::kConnecting;
    stream::Guard guard(connection.fd_lock);
    new_channel(HiddenFd(process_.hide(static_cast<int>(fd))), connection, connection.shared->role == Role::kConnect);
}

void Meetings::timers() {
    const uint64_t now = now_ns();
    if (now < next_due_ns_) return;
    next_due_ns_ = UINT64_MAX;
    expire_channels(now);
    if (required_due_ns_ != UINT64_MAX) expire_required(now);
    if (links_ != nullptr) {
        expire_far(now);
        rest_far(now);
        next_due_ns_ = std::min(next_due_ns_, rest_due_ns_);
    }
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Meeting &meeting = meetings_[i];
        if (meeting.state == Meeting::kIdle) continue;
        Connection &connection = process_.connection_at(i);
        const bool is_gone = !connection.is_open() || connection.generation != meeting.generation;
        const Phase expected = meeting.state == Meeting::kHeld ? Phase::kTracked : Phase::kMeeting;
        if (is_gone || connection.phase() != expected) {
            // One that became a candidate meanwhile is on its way to begin(), which looks at what is held.
            if (meeting.state == Meeting::kHeld && !is_gone && connection.phase() == Phase::kMeeting) continue;
            end_meeting(meeting);
            continue;
        }
        if (meeting.due_ns > now) {
            wait_until(meeting, meeting.due_ns);
        } else if (now >= meeting.deadline_ns && meeting.state != Meeting::kRetry) {
            if (meeting.state == Meeting::kHeld) {
                end_meeting(meeting);
            } else {
                if (meeting.state == Meeting::kProposed) {
                    blame(connection, stream::Reason::kPeerSilent, process_.peers()[meeting.peer - 1], "does not answer the proposal");
                }
                give_up(connection, stream::Reason::kPeerSilent);
            }
        } else if (meeting.state == Meeting::kBinding) {
            stream::Guard guard(connection.fd_lock);
            if (connection.fd.load() >= 0) meet_by_name(connection, true);
        } else if (meeting.state == Meeting::kRetry) {
            begin(connection, meeting.deadline_ns);
        } else if (meeting.state == Meeting::kLooking) {
            stream::Guard guard(connection.fd_lock);
            if (connection.fd.load() >= 0) look_up(connection);
        }
    }
}

uint64_t Meetings::token_of(const Connection &connection) { return (uint64_t{connection.generation} << 32) | connection.index; }

/// The connection that a token of ours names; nullptr when it is closed by now.
Connection *Meetings::connection_of(uint64_t token) {
    const auto index = static_cast<uint32_t>(token);
    if (index >= process_.connections_used()) return nullptr;
    Connection &connection = process_.connection_at(index);
    return connection.is_open() && token_of(connection) == token ? &connection : nullptr;
}

Connection *Meetings::first_of(const Channel &channel) {
    Connection *first = connection_of(channel.first);
    if (first == nullptr || first->phase() != Phase::kMeeting || meeting_of(*first).state != Meeting::kConnecting) return nullptr;
    return first;
}

/// One that has not moved yet, between these two. Its addresses are looked up when first asked for.
static bool is_unmoved_between(Connection &connection, const sockaddr_in6 &local, const sockaddr_in6 &remote) {
    if (!connection.is_open()) return false;
    const Phase phase = connection.phase();
    if (phase != Phase::kTracked && phase != Phase::kMeeting) return false;
    if (connection.shared->remote.sin6_family == 0) {
        stream::Guard guard(connection.fd_lock);
        const int fd = connection.fd.load();
        if (fd < 0 || !socket_addresses(fd, connection.shared->local, connection.shared->remote)) return false;
    }
    return same_address(connection.shared->local, local) && same_address(connection.shared->remote, remote);
}

Connection *Meetings::find(const sockaddr_in6 &local, const sockaddr_in6 &remote) {
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Connection &connection = process_.connection_at(i);
        if (is_unmoved_between(connection, local, remote)) return &connection;
    }
    Connection *grown = find_young(process_, local, remote);
    return grown != nullptr && is_unmoved_between(*grown, local, remote) ? grown : nullptr;
}

}  // namespace sansock::socket
