#include "socket/io.hpp"

#include <alloca.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include <cstring>

#include "base/point.hpp"
#include "socket/channel.hpp"
#include "socket/courier.hpp"
#include "socket/epoll.hpp"
#include "socket/far.hpp"
#include "socket/report.hpp"
#include "socket/required.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

constexpr int kPartsMax = 1024;  // IOV_MAX
constexpr int kHeldNapsMax = 5;

std::atomic<uint32_t> &inside_kernel(Connection &connection, bool sending) {
    stream::State &state = connection.shared->stream;
    return sending ? state.kernel_writes : state.kernel_reads;
}

/// Once a connection is on TCP for good, it costs nothing but a look at its phase.
void retire_if_at_rest(Connection &connection) {
    const stream::State &state = connection.shared->stream;
    if (state.pinned.load(std::memory_order_relaxed) != 0 && state.error_owed.load(std::memory_order_relaxed) == 0 &&
        connection.end().at_rest_on_tcp()) {
        uint8_t attached = static_cast<uint8_t>(Phase::kAttached);
        if (connection.shared->phase.compare_exchange_strong(attached, static_cast<uint8_t>(Phase::kTcpOnly))) {
            retire_courier(connection);
            sync_items(connection);  // the kernel has to watch more now
        }
    }
}

bool is_blocking(Connection &connection) {
    auto &blocking = connection.shared->blocking;
    Blocking known = blocking.load(std::memory_order_relaxed);
    if (known == Blocking::kUnknown) {
        const long flags = raw_syscall(SYS_fcntl, connection.fd.load(), F_GETFL, 0);
        const Blocking asked = flags >= 0 && (flags & O_NONBLOCK) != 0 ? Blocking::kNo : Blocking::kYes;
        // Another thread may have changed it since; what it says then is newer than what the kernel said.
        if (blocking.compare_exchange_strong(known, asked, std::memory_order_relaxed)) known = asked;
    }
    return known == Blocking::kYes;
}

uint64_t deadline_after(uint64_t timeout_ns) { return timeout_ns == 0 ? kForever : now_ns() + timeout_ns; }

/// Drops the first `size` bytes of a copy of the caller's parts.
void advance(iovec *&parts, int &count, size_t size) {
    while (count > 0 && size >= parts->iov_len) {
        size -= parts->iov_len;
        ++parts;
        --count;
    }
    if (size > 0) {
        parts->iov_base = static_cast<char *>(parts->iov_base) + size;
        parts->iov_len -= size;
    }
}

long by_kernel(long call, Connection &connection, const iovec *parts, int count, int flags) {
    msghdr message{};
    message.msg_iov = const_cast<iovec *>(parts);
    message.msg_iovlen = static_cast<size_t>(count);
    return raw_syscall(call, connection.fd.load(), &message, flags);
}

long total_of(const iovec *parts, int count) {
    size_t total = 0;
    for (int i = 0; i < count; ++i) total += parts[i].iov_len;
    return static_cast<long>(total);
}

}  // namespace

void become_candidate(Connection &connection) {
    uint8_t tracked = static_cast<uint8_t>(Phase::kTracked);
    if (!connection.shared->phase.compare_exchange_strong(tracked, static_cast<uint8_t>(Phase::kMeeting))) return;
    Process &process = *Process::get();
    if (!process.start_helper()) {
        connection.set_reason(stream::Reason::kNoResources);
        connection.set_phase(Phase::kTcpOnly);
        if (connection.shared->requirement.load() != Requirement::kNone) {
            stream::Guard guard(connection.fd_lock);
            fail_required(connection);
        }
        return;
    }
    process.submit(connection);
}

KernelCall::KernelCall(Connection &connection, bool sending)
    : connection_(connection), generation_(connection.generation), sending_(sending) {
    allowed_ = connection.phase() == Phase::kTcpOnly;
    if (allowed_ || is_held_back(connection) || connection.shared->stream.attached.load(std::memory_order_acquire) != 0) return;
    // The counter first, then the look: whoever attaches the connection looks at the counter afterwards.
    inside_kernel(connection, sending).fetch_add(1, std::memory_order_seq_cst);
    counted_ = allowed_ = connection.shared->stream.attached.load(std::memory_order_seq_cst) == 0;
    if (allowed_) return;
    inside_kernel(connection, sending).fetch_sub(1, std::memory_order_release);
    allowed_ = connection.phase() == Phase::kTcpOnly;
}

KernelCall::KernelCall(Connection &connection, bool sending, UnderWay)
    : connection_(connection), generation_(connection.generation), sending_(sending), counted_(true), allowed_(true) {}

void KernelCall::done(long moved, int flags) {
    if (connection_.generation != generation_) return;
    SharedConnection &shared = *connection_.shared;
    stream::State &state = shared.stream;
    const bool counts = moved > 0 && (flags & (MSG_PEEK | MSG_OOB)) == 0;
    if (counts) (sending_ ? state.out.out : state.in.in).fetch_add(static_cast<uint64_t>(moved), std::memory_order_relaxed);
    if (counted_) inside_kernel(connection_, sending_).fetch_sub(1, std::memory_order_release);
    if (connection_.phase() == Phase::kTcpOnly) return;
    if ((flags & MSG_OOB) != 0) state.pinned.store(1, std::memory_order_relaxed);
    if (!counts) return;
    const uint32_t calls = (sending_ ? shared.calls_out : shared.calls_in).fetch_add(1, std::memory_order_relaxed) + 1 +
                           (sending_ ? shared.calls_in : shared.calls_out).load(std::memory_order_relaxed);
    if (connection_.phase() != Phase::kTracked) return;
    if (is_worth_moving(shared, calls)) become_candidate(connection_);
}

bool is_worth_moving(const SharedConnection &shared, uint32_t calls) {
    const Policy &policy = Process::get()->policy();
    const bool known = shared.route_known.load(std::memory_order_acquire);
    const uint64_t bytes = shared.stream.out.out.load(std::memory_order_relaxed) + shared.stream.in.in.load(std::memory_order_relaxed);
    return calls >= (known ? shared.after_calls.load(std::memory_order_relaxed) : policy.upgrade_after_calls) ||
           bytes >= (known ? shared.after_bytes.load(std::memory_order_relaxed) : policy.upgrade_after_bytes);
}

long send_stream(Connection &connection, const iovec *parts, int count, int flags) {
    if ((flags & MSG_OOB) != 0) {
        if (const long rc = return_to_kernel(connection, stream::Reason::kUnmodelled); rc < 0) return rc;
        return by_kernel(SYS_sendmsg, connection, parts, count, flags);
    }
    if (is_held_back(connection)) {
        if (const long rc = await_upgrade(connection, (flags & MSG_DONTWAIT) == 0 && is_blocking(connection)); rc < 0) return rc;
        if (KernelCall kernel(connection, true); kernel.allowed()) {
            const long sent = by_kernel(SYS_sendmsg, connection, parts, count, flags);
            kernel.done(sent, flags);
            return sent;
        }
    }
    stream::End &end = connection.end();
    get_ready(connection);
    long sent = end.send(parts, count, flags);
    const bool blocking = (flags & MSG_DONTWAIT) == 0 && is_blocking(connection);
    const long total = total_of(parts, count);
    const bool waits = blocking && (sent == -EAGAIN || (sent >= 0 && sent < total));
    carry(connection, !waits);
    if (waits) {
        if (count > kPartsMax) return -EMSGSIZE;
        auto *copy = static_cast<iovec *>(alloca(sizeof(iovec) * static_cast<size_t>(count)));
        std::memcpy(copy, parts, sizeof(iovec) * static_cast<size_t>(count));
        long done = std::max(sent, 0L);
        advance(copy, count, static_cast<size_t>(done));
        const uint64_t deadline = deadline_after(connection.shared->send_timeout_ns.load(std::memory_order_relaxed));
        Waiting waiting(connection);
        int held_naps = 0;
        while (done < total) {
            if (sent == -EAGAIN) {
                const int rc = waiting.is_too_late() ? -EBADF : wait_for(connection, true, deadline, 0, &waiting);
                if (rc < 0) return done > 0 ? done : rc;
                // The peer may be waiting for this very thread to read: let it not wait long for a queue to run empty.
                if (end.holding() && ++held_naps == kHeldNapsMax) end.stop_holding();
            }
            sent = end.send(copy, count, flags, done > 0);
            const bool is_over = sent != -EAGAIN && (sent < 0 || done + sent >= total);
            carry(connection, is_over);
            if (sent > 0) {
                done += sent;
                advance(copy, count, static_cast<size_t>(sent));
            } else if (sent != -EAGAIN) {
                break;
            }
        }
        if (done > 0) sent = done;
    }
    if (sent < 0) end.error_told();
    if (sent == -EPIPE && (flags & MSG_NOSIGNAL) == 0) raw_syscall(SYS_tgkill, Process::get()->pid(), thread_id(), SIGPIPE);
    if (!end.on_provider(true)) retire_if_at_rest(connection);
    return sent;
}

long receive_stream(Connection &connection, const iovec *parts, int count, int flags) {
    if ((flags & (MSG_OOB | MSG_ERRQUEUE)) != 0) {
        return by_kernel(SYS_recvmsg, connection, parts, count, flags | MSG_DONTWAIT);
    }
    if (is_held_back(connection)) {
        if (const long rc = await_upgrade(connection, (flags & MSG_DONTWAIT) == 0 && is_blocking(connection)); rc < 0) return rc;
        if (KernelCall kernel(connection, false); kernel.allowed()) {
            const long got = by_kernel(SYS_recvmsg, connection, parts, count, flags);
            kernel.done(got, flags);
            return got;
        }
    }
    stream::End &end = connection.end();
    get_ready(connection);
    carry(connection);
    long got = end.receive(parts, count, flags);
    if (got > 0) carry(connection);  // the peer may be waiting for the room
    const bool blocking = (flags & MSG_DONTWAIT) == 0 && is_blocking(connection);
    const long total = total_of(parts, count);
    const bool all = (flags & MSG_WAITALL) != 0 && blocking;
    if (blocking && (got == -EAGAIN || (all && got > 0 && got < total))) {
        if (count > kPartsMax) return -EMSGSIZE;
        const uint64_t deadline = deadline_after(connection.shared->receive_timeout_ns.load(std::memory_order_relaxed));
        auto *copy = static_cast<iovec *>(alloca(sizeof(iovec) * static_cast<size_t>(count)));
        std::memcpy(copy, parts, sizeof(iovec) * static_cast<size_t>(count));
        const bool peek = (flags & MSG_PEEK) != 0;
        long done = std::max(got, 0L);
        if (!peek) advance(copy, count, static_cast<size_t>(done));
        Waiting waiting(connection);
        for (;;) {
            const int rc =
                waiting.is_too_late() ? -EBADF : wait_for(connection, false, deadline, peek ? static_cast<uint64_t>(done) : 0, &waiting);
            if (rc < 0) return done > 0 ? done : rc;
            got = end.receive(copy, count, flags);
            if (got >= 0) carry(connection);
            if (got == -EAGAIN) continue;
            if (got < 0 && done > 0) return done;
            if (got < 0) break;
            if (peek) {
                const bool more_came = got > done;
                done = got;
                if (all && got < total && more_came) continue;
                return got;
            }
            done += got;
            if (got == 0 || !all || done >= total) break;
            advance(copy, count, static_cast<size_t>(got));
        }
        if (got >= 0) got = done;
    }
    if (got < 0) end.error_told();
    if (!end.on_provider(false)) retire_if_at_rest(connection);
    return got;
}

long shutdown_stream(Connection &connection, int fd, int how) {
    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR) return -EINVAL;
    if (connection.mapped.load(std::memory_order_acquire) && connection.phase() == Phase::kAttached) retire_if_at_rest(connection);
    if (connection.phase() == Phase::kUnconnected) return raw_syscall(SYS_shutdown, fd, how);
    if (!connection.mapped.load(std::memory_order_acquire) || connection.phase() != Phase::kAttached) {
        connection.shared->stream.pinned.store(1, std::memory_order_relaxed);
        for (const Phase before : {Phase::kTracked, Phase::kMeeting}) {
            uint8_t phase = static_cast<uint8_t>(before);
            const bool stays = connection.shared->phase.compare_exchange_strong(phase, static_cast<uint8_t>(Phase::kTcpOnly));
            if (stays) connection.set_reason(stream::Reason::kHalfClosed);
        }
        if (connection.phase() != Phase::kAttached) return raw_syscall(SYS_shutdown, fd, how);
    }
    stream::End &end = connection.end();
    if (end.both_finished()) return -ENOTCONN;
    if (how != SHUT_RD && !end.finish_writing()) return raw_syscall(SYS_shutdown, fd, how);
    if (how != SHUT_WR) {
        end.finish_reading();
        raw_syscall(SYS_shutdown, fd, SHUT_RD);
    }
    return 0;
}

namespace {

/// Both directions are on TCP afterwards, and stay there as long as the caller has said. 0 or -ECONNRESET.
long leave_provider(Connection &connection, stream::Reason reason, bool for_good) {
    stream::End &end = connection.end();
    const uint64_t deadline = now_ns() + Process::get()->policy().step_timeout_ns;
    bool rests = false;
    for (;;) {
        end.step(reason, for_good);  // again, when the peer has begun the next epoch before it saw that we stay
        const uint32_t seen = connection.shared->stream.events.load(std::memory_order_acquire);
        rests = for_good ? end.rests_for_good() : end.at_rest_on_tcp();
        if (rests || end.at_rest_on_tcp()) break;
        if (now_ns() > deadline || end.peer_is_dead()) break;
        if (end.step_abandoned()) end.progress();
        futex_wait(&connection.shared->stream.events, seen, 1'000'000);
    }
    SANSOCK_POINT("S5.leaving");
    return rests || end.may_leave() ? 0 : -ECONNRESET;
}

}  // namespace

long return_to_kernel(Connection &connection, stream::Reason reason) {
    if (is_held_back(connection)) await_upgrade(connection, true);
    connection.shared->stream.pinned.store(1, std::memory_order_relaxed);
    const bool mapped = connection.mapped.load(std::memory_order_acquire);
    // A peer that steps back late is answered by the helper, which may not be here any more.
    if (mapped && connection.phase() == Phase::kTcpOnly) return leave_provider(connection, reason, true);
    if (connection.phase() != Phase::kAttached || !mapped) {
        connection.set_reason(reason);
        if (connection.phase() != Phase::kAttached) connection.set_phase(Phase::kTcpOnly);
        return 0;
    }
    if (const long rc = leave_provider(connection, reason, true); rc < 0) return rc;
    retire_if_at_rest(connection);
    return 0;
}

long set_linger(Connection &connection, int fd, const void *value, socklen_t size) {
    SharedConnection &shared = *connection.shared;
    stream::Guard guard(shared.stream.out.lock);
    const long rc = raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, value, size);
    if (rc < 0 || !shared.lingers_for_us.load(std::memory_order_acquire)) return rc;
    std::memcpy(&shared.linger_asked, value, sizeof shared.linger_asked);
    const linger ours{1, 0};
    raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &ours, sizeof ours);
    return 0;
}

void show_linger(Connection &connection, void *value) {
    SharedConnection &shared = *connection.shared;
    stream::Guard guard(shared.stream.out.lock);
    if (shared.lingers_for_us.load(std::memory_order_acquire)) std::memcpy(value, &shared.linger_asked, sizeof shared.linger_asked);
}

void lend(Connection &connection) {
    // Nobody would be left to take it back; and nothing shows that of two hosts, whose words come late, it could be.
    const bool by_messages = connection.mapped.load(std::memory_order_acquire) && connection.goes_by_messages();
    if (by_messages || Process::get()->runtime() == nullptr) {
        return_to_kernel(connection, stream::Reason::kExec);
        return;
    }
    if (is_held_back(connection)) await_upgrade(connection, true);
    connection.shared->stream.lent.fetch_add(1, std::memory_order_seq_cst);
    Process::get()->watch_lent();
    if (connection.phase() != Phase::kAttached || !connection.mapped.load(std::memory_order_acquire))
        return connection.set_reason(stream::Reason::kExec);
    connection.end().tell_lent();
    leave_provider(connection, stream::Reason::kExec, false);
}

namespace {

/// False: there is something to wait for still.
bool leave_far(Process &process, Connection &connection, bool ends, bool late) {
    if (!connection.is_open() || !connection.mapped.load(std::memory_order_acquire) || connection.peer->far == nullptr) return true;
    const Phase phase = connection.phase();
    if (phase != Phase::kAttached && phase != Phase::kLingering) return true;
    if (connection.peer->far->owner != process.pid()) return true;  // our parent's, as long as it lives
    stream::End &end = connection.end();
    if (end.peer_is_dead() || end.at_rest_on_tcp()) return true;
    if (end.memory().mine->cold.state.load(std::memory_order_relaxed) != static_cast<uint32_t>(memory::EndState::kOpen) &&
        phase == Phase::kAttached)
        return true;  // said already
    // Siblings go on with it, and nobody would speak for them.
    const bool is_ours = connection.shared->holders.only(static_cast<uint32_t>(process.pid()));
    if (ends && is_ours && phase == Phase::kAttached && end.unconsumed() == 0 && !end.stepping()) {
        const linger reset{1, 0};
        if (end.close(false) == stream::End::Close::kReset) {
            raw_syscall(SYS_setsockopt, connection.fd.load(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        } else {
            end.leave();
        }
        return true;
    }
    if (late) {
        end.fail(stream::Reason::kPeerSilent);
        return true;
    }
    end.step(stream::Reason::kExec, true);
    return end.at_rest_on_tcp();
}

}  // namespace

void leave_far(Process &process, bool ends) {
    if (std::ranges::none_of(process.peers(), [](const Peer &peer) { return peer.used.load() != 0 && peer.far != nullptr; })) return;
    const uint64_t deadline = now_ns() + process.policy().step_timeout_ns;
    for (bool all = false; !all;) {
        const bool late = now_ns() > deadline;
        all = true;
        for (uint32_t i = 0; i < process.connections_used(); ++i) all &= leave_far(process, process.connection_at(i), ends, late);
        if (all && !late) {
            for (Peer &peer : process.peers()) all &= peer.used.load() == 0 || peer.far == nullptr || far_conclude(peer);
        }
        const timespec pause{0, 200'000};
        if (!all) raw_syscall(SYS_nanosleep, &pause, nullptr);
    }
}

void adopt(int fd) {
    Process *process = Process::get();
    sockaddr_in6 local{}, remote{};
    if (process == nullptr || !socket_addresses(fd, local, remote)) return;
    for (uint32_t i = 0; i < process->connections_used(); ++i) {
        Connection &connection = process->connection_at(i);
        SharedConnection &shared = process->shared_at(i);
        const uint32_t generation = shared.generation.load(std::memory_order_acquire);
        if (is_free(static_cast<Phase>(shared.phase.load())) || connection.generation != generation) continue;
        sockaddr_in6 its_local = shared.local, its_remote = shared.remote;
        const int known = connection.fd.load();
        if (known >= 0 && !socket_addresses(known, its_local, its_remote)) continue;
        if (!same_address(its_local, local) || !same_address(its_remote, remote)) continue;
        if (connection.refs.load() == 0) {  // we had let go of it, and our siblings have not
            connection.closing.store(Connection::kOpen);
            stream::Guard guard(connection.fd_lock);
            if (!connection.is_in_family() || connection.generation != generation) continue;  // it has ended meanwhile
            shared.holders.add(static_cast<uint32_t>(process->pid()));
            if (connection.orphan.exchange(false)) connection.mapped.store(true, std::memory_order_release);
            connection.fd.store(fd);
        }
        process->bind(fd, connection);
        return;
    }
}

Connection *track(int fd, Role role) {
    if (fd < 0) return nullptr;
    Process *process = Process::get_or_create();
    if (process == nullptr) return nullptr;
    if (Connection *stale = process->tracked(fd)) forget_descriptor(fd, *stale);  // the kernel has just given the number out anew
    Connection *connection = process->new_connection(fd, role);
    if (connection == nullptr) return nullptr;
    process->bind(fd, *connection);
    if (role != Role::kNone) expect_upgrade(*connection);
    return connection;
}

void connected(Connection &connection) {
    uint8_t unconnected = static_cast<uint8_t>(Phase::kUnconnected);
    if (connection.phase() != Phase::kUnconnected) return;
    connection.shared->role = Role::kConnect;
    connection.shared->phase.compare_exchange_strong(unconnected, static_cast<uint8_t>(Phase::kTracked));
    expect_upgrade(connection);
}

}  // namespace sansock::socket
