// When a meeting goes wrong: who is behind it, who is told, and what becomes of the connection.
#include <stdio.h>

#include <algorithm>

#include "socket/meetings.hpp"
#include "socket/report.hpp"
#include "socket/required.hpp"
#include "stream/reason.hpp"

namespace sansock::socket {

constexpr uint32_t kTriesMax = 8;

/// Between hosts much that keeps two ends from meeting passes: a daemon that is being replaced or is slow, a wire that is down, a peer that
/// has yet to read its first byte.
bool Meetings::may_pass(const Connection &connection, stream::Reason reason) {
    const Meeting &meeting = meetings_[connection.index];
    const bool does =
        reason == stream::Reason::kRemoteHost ? agent_->was_connected() : reason == stream::Reason::kPeerSilent && meeting.registered;
    return does && meeting.failures + 1 < kTriesMax && connection.phase() == Phase::kMeeting &&
           connection.shared->requirement.load() == Requirement::kNone;
}

/// The end that connected tries again ever more rarely; the other one is to be found all the while.
void Meetings::try_later(Connection &connection) {
    Meeting &meeting = meeting_of(connection);
    const uint64_t now = now_ns();
    const uint64_t wait = process_.policy().return_after_ns << meeting.failures++;
    const bool awaits = connection.shared->role != Role::kConnect && agent_->is_connected();
    meeting.state = Meeting::kRetry;
    meeting.deadline_ns = now + wait + (awaits ? 0 : process_.policy().rendezvous_timeout_ns);
    wait_until(meeting, awaits ? now : now + wait);
}

/// For good, unless it may pass.
void Meetings::give_up(Connection &connection, stream::Reason reason) {
    const bool passes = may_pass(connection, reason);
    end_meeting(meeting_of(connection));
    connection.set_reason(reason);
    if (passes) return try_later(connection);
    uint8_t phase = static_cast<uint8_t>(Phase::kMeeting);
    const bool stays = connection.shared->phase.compare_exchange_strong(phase, static_cast<uint8_t>(Phase::kTcpOnly));
    if (!stays || connection.shared->requirement.load() == Requirement::kNone) return;
    const bool locked = connection.fd_lock.held_by_me();
    if (!locked) connection.fd_lock.lock();
    fail_required(connection);
    if (!locked) connection.fd_lock.unlock();
    if (process_.runtime() != nullptr) warn(connection, reason);
}

/// A required connection whose ends know each other, and whose peer's program does not come to read, has its bound, too.
void Meetings::expire_required(uint64_t now) {
    required_due_ns_ = UINT64_MAX;
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Connection &connection = process_.connection_at(i);
        if (!connection.is_open() || connection.phase() != Phase::kAttached) continue;
        stream::Guard guard(connection.fd_lock);
        if (!connection.is_open() || !connection.mapped.load() || !connection.shared->stream.required) continue;
        stream::End &end = connection.end();
        if (end.may_switch() || connection.required_until_ns == 0) continue;
        if (now >= connection.required_until_ns) {
            connection.required_until_ns = 0;
            end.fail(stream::Reason::kPeerSilent);
        } else {
            required_due_ns_ = std::min(required_due_ns_, connection.required_until_ns);
        }
    }
    next_due_ns_ = std::min(next_due_ns_, required_due_ns_);
}

/// Names the offender in the connection's report, and once in the log: a squatter on many names must not fill it.
void Meetings::blame(Connection &connection, stream::Reason reason, const Peer &peer, const char *what) {
    note_peer(connection, peer, what);
    for (const Offence &known : offences_) {
        if (known.pid == peer.pid && known.uid == peer.uid && known.reason == reason) return;
    }
    offences_[offences_next_++ % kOffencesKept] = {peer.uid, peer.pid, reason};
    warn(connection, reason);
}

void Meetings::warn(Connection &connection, stream::Reason reason) {
    char local[80], remote[80], line[400], detail[kDetailMax];
    copy_detail(connection, detail);
    print_address(local, sizeof local, connection.shared->local);
    print_address(remote, sizeof remote, connection.shared->remote);
    snprintf(line, sizeof line, "%s to %s: %s: %s", local, remote, stream::reason_name(reason), detail);
    process_.runtime()->warn(line);
}

/// What an honest peer never does. Its connections that have moved go on, for their memory is checked at every use; those that
/// were about to move stay on TCP.
void Meetings::broke_protocol(Peer &peer, const char *what) {
    if (peer.far != nullptr) peer.far->broke.store(true);  // what it says next nobody hears
    const auto end = [&](Connection &connection) {
        blame(connection, stream::Reason::kProtocol, peer, what);
        give_up(connection, stream::Reason::kProtocol);
    };
    if (Connection *first = first_of(channels_[index_of(peer)])) end(*first);
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        const Meeting &meeting = meetings_[i];
        if (meeting.peer != index_of(peer) + 1 || meeting.state != Meeting::kProposed) continue;
        Connection &connection = process_.connection_at(i);
        if (connection.is_open() && connection.generation == meeting.generation && connection.phase() == Phase::kMeeting) end(connection);
    }
    close_channel(peer);
}

/// Whoever is at the other end of a channel that did not come up in time holds a name that it has no use for.
void Meetings::expire_channels(uint64_t now) {
    for (Peer &peer : process_.peers()) {
        Channel &channel = channels_[index_of(peer)];
        if (peer.used.load() == 0 || peer.channel < 0 || channel.state == Channel::kUp) continue;
        if (now < channel.deadline_ns) {
            if (channel.deadline_ns < next_due_ns_) next_due_ns_ = channel.deadline_ns;
            continue;
        }
        if (Connection *first = first_of(channel)) {
            blame(*first, stream::Reason::kPeerSilent, peer,
                  peer.far != nullptr ? "is not reached through its daemon's port for channels"
                                      : "holds the meeting's name and does not answer");
            give_up(*first, stream::Reason::kPeerSilent);
        }
        close_channel(peer);
    }
}

}  // namespace sansock::socket
