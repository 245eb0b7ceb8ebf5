// From the first byte to the last descriptor.
#include <sys/socket.h>

#include "socket/courier.hpp"
#include "socket/epoll.hpp"
#include "socket/far.hpp"
#include "socket/helper.hpp"
#include "socket/io.hpp"
#include "socket/report.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

/// What this process alone has of a connection's memory.
void drop_view(Process &process, Connection &connection) {
    Peer &peer = *connection.peer;
    uint32_t ours = connection.index + 1;  // the peer may use its slot for another one by now
    peer.connection_of_slot[connection.peer_arena][connection.peer_slot].compare_exchange_strong(ours, 0, std::memory_order_acq_rel);
    if (connection.endpoint != nullptr) {
        process.runtime()->retire(connection.endpoint);
        connection.endpoint = nullptr;
    }
    if (peer.connections.fetch_sub(1) == 1 && !peer.alive.load()) expect_release(process, peer);
}

/// The family's part in a connection's memory ends.
void let_go_of_memory(Process &process, Connection &connection) {
    retire_courier(connection);
    connection.mapped.store(false, std::memory_order_release);
    if (!connection.shared->memory_left.exchange(true)) {  // or a sibling was killed in the middle of this
        Helper::tell_released(connection);
        connection.end().leave_memory();
    }
    drop_view(process, connection);
}

void reset_on_close(int fd) {
    const linger option{1, 0};
    raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &option, sizeof option);
}

/// What close(2) is about: a descriptor; one that dup2(2) is about to close itself, or another thread could get its number in between; or
/// a number whose descriptor was closed unseen.
struct Closing {
    int fd;
    enum Kind { kNow, kByDup, kUnseen } kind = kNow;
    [[nodiscard]] bool unseen() const { return kind == kUnseen; }
    [[nodiscard]] long close() const { return kind == kNow ? Process::get()->close_hidden(fd) : 0; }
};

/// From here on the helper lets the descriptor alone.
void take_fd(Connection &connection) {
    stream::Guard guard(connection.fd_lock);
    connection.fd.store(-1);
}

/// The last descriptor of the last holder goes.
long close_last(Process &process, const Closing &closing, Connection &connection) {
    const Phase phase = connection.phase();
    if (phase != Phase::kAttached || !connection.mapped.load()) {
        report_connection(connection);
        take_fd(connection);
        const long rc = closing.close();  // may wait for what SO_LINGER says: without the lock, which the helper takes in turn
        if (connection.mapped.load()) let_go_of_memory(process, connection);
        process.free_connection(connection);
        return rc;
    }
    stream::End &end = connection.end();
    linger option{};
    socklen_t size = sizeof option;
    if (connection.shared->lingers_for_us.load(std::memory_order_acquire)) {
        option = connection.shared->linger_asked;
    } else if (!closing.unseen()) {
        raw_syscall(SYS_getsockopt, closing.fd, SOL_SOCKET, SO_LINGER, &option, &size);
    }
    const auto how = end.close(option.l_onoff != 0 && option.l_linger == 0);
    report_connection(connection);
    if (how == stream::End::Close::kLinger && !closing.unseen()) {
        stream::Guard guard(connection.fd_lock);
        // The peer reads the rest at its leisure. The helper keeps the TCP connection open meanwhile, so that a peer that steps
        // back (to execute another program, say) can still get it.
        const long kept = raw_syscall(SYS_dup, closing.fd);
        if (kept >= 0) {
            connection.fd.store(process.hide(static_cast<int>(kept)));
            connection.set_phase(Phase::kLingering);
            memory::HotLine &hot = end.memory().mine->hot;
            hot.wakers[0].store(kHelperWaker, std::memory_order_release);
            hot.want_room.store(1, std::memory_order_release);
            leave_to_helper(connection);
            process.submit(connection);
            return closing.close();
        }
    }
    if (how == stream::End::Close::kReset && !closing.unseen()) reset_on_close(closing.fd);
    take_fd(connection);
    const long rc = closing.close();
    let_go_of_memory(process, connection);
    process.free_connection(connection);
    return rc;
}

/// Siblings hold it still: only our view of it ends. False: they do not. All at once, for the last of them may end it, and its place be
/// used again, as soon as we have let go.
bool let_siblings_have(Process &process, Connection &connection) {
    stream::Guard guard(connection.fd_lock);
    if (!connection.shared->holders.let_go(static_cast<uint32_t>(process.pid()))) return false;
    retire_courier(connection);
    connection.fd.store(-1);
    if (connection.mapped.exchange(false)) {
        connection.orphan.store(true);
        process.expect_orphans();
    }
    return true;
}

long close_for_good(Process &process, const Closing &closing, Connection &connection) {
    // Our siblings could not go on where we carry: they take the kernel's path while we are still there to step back.
    if (connection.courier.load() != nullptr && !connection.shared->holders.only(static_cast<uint32_t>(process.pid()))) {
        return_to_kernel(connection, stream::Reason::kSharedFd);
    }
    if (!let_siblings_have(process, connection)) return close_last(process, closing, connection);
    return closing.close();
}

/// Threads other than this one, which live, sleep in calls on the connection, or are told of it by an epoll instance.
bool others_wait(Process &process, Connection &connection) {
    if (connection.kept_by.load(std::memory_order_seq_cst) != 0) return true;
    for (const auto &entry : connection.waiting) {
        const uint32_t who = entry.load(std::memory_order_seq_cst);
        if (who != 0 && who != thread_id() && raw_syscall(SYS_tgkill, process.pid(), who, 0) == 0) return true;
    }
    return false;
}

/// Of those who closed and those who waited, the last to come here closes what was postponed.
void close_postponed(Process &process, Connection &connection) {
    uint32_t postponed = Connection::kPostponed;
    if (others_wait(process, connection) || !connection.closing.compare_exchange_strong(postponed, Connection::kClosing)) return;
    close_for_good(process, {connection.fd.load()}, connection);
}

long close_one(const Closing &closing, Connection &connection) {
    Process &process = *Process::get();
    if (connection.refs.load() > 1) {
        // The registration outlasts its number, and nobody can change it then: it must be the kernel's alone.
        if (!closing.unseen() && has_items(connection, closing.fd)) return_to_kernel(connection, stream::Reason::kUnmodelled);
        leave_items(connection, closing.fd);
    }
    process.unbind(closing.fd);
    if (connection.refs.fetch_sub(1) > 1) {  // as in the kernel, epoll registrations stay until the last descriptor goes
        if (connection.fd.load() == closing.fd) {
            stream::Guard guard(connection.fd_lock);
            for (int other = 0; other <= process.highest_fd(); ++other) {
                if (process.tracked(other) == &connection) {
                    connection.fd.store(other);
                    break;
                }
            }
        }
        return closing.close();
    }
    forget_items(connection);
    connection.closing.store(Connection::kClosing, std::memory_order_seq_cst);  // who is to sleep on it from now on sees that
    const long kept = closing.unseen() || !others_wait(process, connection) ? -1 : raw_syscall(SYS_dup, closing.fd);
    if (kept < 0) return close_for_good(process, closing, connection);
    {
        stream::Guard guard(connection.fd_lock);
        connection.fd.store(process.hide(static_cast<int>(kept)));
    }
    connection.closing.store(Connection::kPostponed, std::memory_order_seq_cst);
    close_postponed(process, connection);
    return closing.close();
}

}  // namespace

Waiting::Waiting(Connection &connection) : Undo(nullptr), connection_(connection), generation_(connection.generation) {
    const uint32_t me = thread_id();
    for (auto &entry : connection.waiting) {
        // One of ours is there already when a handler interrupted the wait, or jumped out of it.
        uint32_t free = 0;
        if (entry.load(std::memory_order_relaxed) == me || entry.compare_exchange_strong(free, me)) {
            place_ = &entry;
            break;
        }
    }
    late_ = connection.closing.load(std::memory_order_seq_cst) != Connection::kOpen;
}

void looked(Connection &connection, uint32_t generation) {
    if (connection.closing.load(std::memory_order_seq_cst) == Connection::kPostponed && connection.generation == generation) {
        close_postponed(*Process::get(), connection);
    }
}

void Waiting::undo() {
    if (place_ == nullptr) return;
    place_->store(0, std::memory_order_seq_cst);
    looked(connection_, generation_);
}

long close_descriptor(int fd, Connection &connection) { return close_one({fd}, connection); }

void replace_descriptor(int fd, Connection &connection) { close_one({fd, Closing::kByDup}, connection); }

void forget_descriptor(int fd, Connection &connection) { close_one({fd, Closing::kUnseen}, connection); }

void disconnected(Connection &connection) {
    Process &process = *Process::get();
    if (!connection.shared->holders.only(static_cast<uint32_t>(process.pid()))) {  // siblings would have to forget it too
        connection.shared->stream.pinned.store(1, std::memory_order_relaxed);
        connection.set_reason(stream::Reason::kSharedFd);
        connection.set_phase(Phase::kTcpOnly);
        return;
    }
    report_connection(connection);
    stream::Guard guard(connection.fd_lock);
    if (connection.mapped.load()) {
        connection.end().close(true);
        let_go_of_memory(process, connection);
        connection.idle_courier = nullptr;
    }
    process.begin(connection, Role::kNone);
    restart_items(connection);
}

void finish_lingering(Process &process, Connection &connection) {
    stream::End &end = connection.end();
    stream::State &state = connection.shared->stream;
    const memory::Slot &written = end.memory().far ? end.path() : *end.memory().peer;
    const bool wrote_to_closed = written.hot.tail.load(std::memory_order_acquire) > state.in.in.load() && end.on_provider(false);
    const bool done = (end.unconsumed() == 0 && !state.out.replaying && !state.out.stopped) || end.peer_is_dead();
    if (!done && !wrote_to_closed) {
        end.memory().mine->hot.want_room.store(1, std::memory_order_release);
        return;
    }
    if (done) end.rest_guard();
    const int fd = connection.fd.exchange(-1);
    if (fd < 0) return;
    if (wrote_to_closed) reset_on_close(fd);
    process.close_hidden(fd);
    let_go_of_memory(process, connection);
    process.free_connection(connection);
}

void forget_orphan(Process &process, Connection &connection) { drop_view(process, connection); }

bool take_orphans_apart(Process &process) {
    bool some_left = false;
    for (uint32_t i = 0; i < process.connections_used(); ++i) {
        Connection &connection = process.connection_at(i);
        if (!connection.orphan.load()) continue;
        stream::Guard guard(connection.fd_lock);
        if (!connection.orphan.load()) continue;
        const bool in_family = connection.is_in_family();
        if (in_family && !connection.shared->holders.claim(static_cast<uint32_t>(process.pid()))) {
            some_left = true;
            continue;
        }
        connection.orphan.store(false);
        if (in_family) {
            let_go_of_memory(process, connection);
            process.free_connection(connection);
        } else {
            // A child that was the last could not tell another host that we look at its slot no more.
            if (connection.peer->far != nullptr && connection.peer->far->owner == process.pid()) Helper::tell_released(connection);
            forget_orphan(process, connection);
        }
    }
    return some_left;
}

static void release_peer(Process &process, Peer &peer) {
    if (!peer.inherited && peer.channel.load() >= 0) return;
    if (peer.has_windows.load()) return;
    stream::Guard guard(peer.log_lock);
    if (peer.connections.load() != 0 || peer.used.load() == 0) return;
    // First the counts: a child that another thread forks right now takes the lock over, and must not find arenas that are gone.
    peer.our_arenas.store(0);
    peer.their_arenas.store(0);
    peer.their_head.store(nullptr);
    for (auto &arena : peer.ours) arena.close();
    if (peer.far != nullptr) far_release(peer);
    for (auto &arena : peer.theirs) arena.close();
    for (auto &entry : peer.wake_fd) {
        if (const int fd = entry.exchange(0); fd > 0) process.close_hidden(fd - 1);
    }
    if (peer.helper_doorbell > 0) process.close_hidden(peer.helper_doorbell);
    peer.helper_doorbell = 0;
    {
        stream::Guard no_sender(peer.channel_lock);
        if (const int channel = peer.channel.exchange(-1); channel >= 0) process.close_hidden(channel);
    }
    peer.used.store(0, std::memory_order_release);
}

void expect_release(Process &process, Peer &peer) {
    if (Helper::is_this_thread() && peer.their_arenas.load() == 0) return release_peer(process, peer);  // it has never had a connection
    uint64_t in_use = 0;
    if (peer.unused_since_ns.compare_exchange_strong(in_use, now_ns())) process.ring_helper();
}

/// Not at once: another thread may be in the middle of a call on a connection that this one has just closed.
constexpr uint64_t kReleaseAfterNs = 100'000'000;

uint64_t release_peers(Process &process) {
    const uint64_t now = now_ns();
    uint64_t due = UINT64_MAX;
    for (Peer &peer : process.peers()) {
        const uint64_t since = peer.unused_since_ns.load();
        if (since == 0) continue;
        if (now < since + kReleaseAfterNs) {
            due = std::min(due, since + kReleaseAfterNs);
        } else {
            peer.unused_since_ns.store(0);
            if (peer.has_windows.load()) process.ring_helper();  // a provider knows our arenas: it must forget them first
            release_peer(process, peer);
        }
    }
    return due;
}

}  // namespace sansock::socket
