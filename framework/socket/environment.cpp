// The stream's world, made of a kernel TCP socket and a peer process.
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>

#include "base/point.hpp"
#include "socket/courier.hpp"
#include "socket/epoll.hpp"
#include "socket/far.hpp"
#include "socket/report.hpp"
#include "socket/waiting.hpp"

// The part of the kernel's tcp_info that glibc 2.36 does not have yet (linux/tcp.h cannot be included beside netinet/tcp.h).
namespace {
struct TcpInfoLong {
    tcp_info head;
    uint64_t pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
};
static_assert(offsetof(TcpInfoLong, bytes_acked) == 120, "tcpi_bytes_acked as in linux/tcp.h");
}  // namespace

namespace sansock::socket {

long ConnectionEnvironment::tcp_send(const iovec *parts, int count, int flags) {
    msghdr message{};
    message.msg_iov = const_cast<iovec *>(parts);
    message.msg_iovlen = static_cast<size_t>(count);
    return raw_syscall(SYS_sendmsg, c_.fd.load(), &message, flags);
}

long ConnectionEnvironment::tcp_receive(const iovec *parts, int count, int flags) {
    msghdr message{};
    message.msg_iov = const_cast<iovec *>(parts);
    message.msg_iovlen = static_cast<size_t>(count);
    const long got = raw_syscall(SYS_recvmsg, c_.fd.load(), &message, flags);
    return got == -ENOTCONN
               ? 0
               : got;  // after tcp_poison() the kernel has forgotten that there was a connection; after a reset from outside it says 0
}

long ConnectionEnvironment::tcp_unsent() {
    int bytes = 0;
    const long rc = raw_syscall(SYS_ioctl, c_.fd.load(), SIOCOUTQ, &bytes);
    return rc < 0 ? rc : bytes;
}

long ConnectionEnvironment::tcp_unread() {
    int bytes = 0;
    const long rc = raw_syscall(SYS_ioctl, c_.fd.load(), SIOCINQ, &bytes);
    return rc < 0 ? rc : bytes;
}

long ConnectionEnvironment::tcp_counts(stream::KernelCounts &counts) {
    TcpInfoLong info{};
    socklen_t size = sizeof info;
    const long rc = raw_syscall(SYS_getsockopt, c_.fd.load(), IPPROTO_TCP, TCP_INFO, &info, &size);
    if (rc < 0) return rc;
    if (size < sizeof info) return -ENOSYS;
    const long queued = tcp_unsent();
    if (queued < 0) return queued;
    // The SYN of the end that connected counts as an acknowledged byte; the peer's FIN, once here, as a received one.
    counts.sent = info.bytes_acked + static_cast<uint64_t>(queued) - (c_.shared->role == Role::kConnect ? 1 : 0);
    counts.received = info.bytes_received;
    if (info.head.tcpi_state == TCP_CLOSE_WAIT || info.head.tcpi_state == TCP_LAST_ACK || info.head.tcpi_state == TCP_CLOSING ||
        info.head.tcpi_state == TCP_TIME_WAIT) {
        counts.received -= 1;
    }
    return 0;
}

bool ConnectionEnvironment::tcp_has_error() {
    pollfd fd{c_.fd.load(), 0, 0};
    const timespec none{};
    return raw_syscall(SYS_ppoll, &fd, 1, &none, nullptr, 8) == 1 && (fd.revents & POLLERR) != 0;
}

void ConnectionEnvironment::tcp_shutdown_write() { raw_syscall(SYS_shutdown, c_.fd.load(), SHUT_WR); }

void ConnectionEnvironment::tcp_acknowledge() {
    const int on = 1;
    raw_syscall(SYS_setsockopt, c_.fd.load(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

uint64_t ConnectionEnvironment::now_ns() { return sansock::now_ns(); }

void ConnectionEnvironment::tcp_guard(bool on) {
    SharedConnection &shared = *c_.shared;
    linger option{1, 0};
    if (on) {
        socklen_t size = sizeof shared.linger_asked;
        raw_syscall(SYS_getsockopt, c_.fd.load(), SOL_SOCKET, SO_LINGER, &shared.linger_asked, &size);
    } else {
        option = shared.linger_asked;
    }
    shared.lingers_for_us.store(on, std::memory_order_release);
    raw_syscall(SYS_setsockopt, c_.fd.load(), SOL_SOCKET, SO_LINGER, &option, sizeof option);
}

void ConnectionEnvironment::tcp_poison() {
    note_peer(c_, *c_.peer, "is its peer");
    sockaddr none{};
    none.sa_family = AF_UNSPEC;
    raw_syscall(SYS_connect, c_.fd.load(), &none, sizeof none);
    ring_own_helper();  // which writes the log
}

void ConnectionEnvironment::ring_peer_helper() {
    const uint64_t one = 1;
    if (c_.peer == nullptr || c_.peer->far != nullptr) return;  // to another host the words themselves are the bell
    raw_syscall(SYS_write, c_.peer->helper_doorbell, &one, sizeof one);
}

void ConnectionEnvironment::ring_own_helper() { Process::get()->ring_helper(); }

/// Tells the peer's epoll instances and polling threads: an entry in the activity log, and a wake-up for those asleep.
void ConnectionEnvironment::wake_objects_of_peer() {
    Peer &peer = *c_.peer;
    const memory::Slot &theirs = *c_.end().memory().peer;
    if (theirs.hot.in_log.load(std::memory_order_relaxed) != 0) {
        memory::Header &head = peer.ours[0].header();
        // A full barrier before the look at who sleeps. The entry itself may become visible later: pump() knows.
        const uint32_t number = head.log_head.fetch_add(1, std::memory_order_seq_cst);
        SANSOCK_POINT("D3.numbered");
        const uint32_t slot = c_.arena * memory::kSlotsPerArena + c_.slot;
        const uint32_t cpu = current_cpu();
        if (head.cpu.load(std::memory_order_relaxed) != cpu) head.cpu.store(cpu, std::memory_order_relaxed);
        head.log[number % memory::kLogEntries].store((number << 16) | slot, std::memory_order_release);
    }
    const memory::Header &sleepers = peer.theirs[0].header();
    for (const auto &entry : theirs.hot.wakers) {
        const uint16_t id = entry.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker) break;
        if (id == kHelperWaker || id == memory::kAnyWaker || id >= memory::kWakeObjects) {
            ring_peer_helper();
            break;
        }
        const uint32_t ticket = sleepers.parked[id].load(std::memory_order_relaxed);
        if (ticket == 0 || ticket == peer.woken[id].load(std::memory_order_relaxed)) continue;
        const int fd = peer.wake_fd[id].load(std::memory_order_acquire) - 1;
        const uint64_t one = 1;
        if (fd >= 0 && raw_syscall(SYS_write, fd, &one, sizeof one) >= 0) {
            peer.woken[id].store(ticket, std::memory_order_relaxed);
        } else {
            ring_peer_helper();
        }
    }
}

/// Over messages the peer wakes its own threads when something arrives. Only what no message says, that a stream has ended, it must
/// be told.
bool ConnectionEnvironment::wakes_by_messages() {
    if (c_.courier.load(std::memory_order_acquire) == nullptr) return false;
    const memory::ColdWords &mine = c_.end().memory().mine->cold;
    if (mine.fin.load(std::memory_order_relaxed) != 0 || mine.state.load(std::memory_order_relaxed) != 0) ring_peer_helper();
    return true;
}

void ConnectionEnvironment::path_opens(uint64_t at) {
    if (Courier *courier = c_.courier.load(std::memory_order_acquire)) path::Landing::open_at(courier->carrier.landing().slot(), at);
}

void ConnectionEnvironment::words_changed() { far_tell(*c_.peer, c_.arena, c_.slot); }

/// The helper, which is told by the kernel as well, asks; until then there is nothing.
void ConnectionEnvironment::tcp_end_seen() {}

void ConnectionEnvironment::tcp_is_silent() {
    if (!c_.bytes_watched) ring_own_helper();
}

// One wake is enough for a ticket, but only one that somebody was asleep for: a sleeper that has announced itself and is not yet asleep
// would find the next byte's wake saved away.
void ConnectionEnvironment::wake_peer_readers() {
    if (wakes_by_messages()) return;
    const stream::End::Memory &memory = c_.end().memory();
    const uint32_t ticket = memory.peer->hot.parked_in.load(std::memory_order_relaxed);
    auto &woken = c_.shared->stream.out.woken_ticket;
    if (ticket != 0 && ticket != woken && futex_wake_all(low_word(memory.mine->hot.tail)) > 0) woken = ticket;
    if (memory.peer->hot.wakers[0].load(std::memory_order_relaxed) != memory::kNoWaker) wake_objects_of_peer();
}

void ConnectionEnvironment::wake_peer_writers() {
    if (wakes_by_messages()) return;
    const stream::End::Memory &memory = c_.end().memory();
    const uint32_t ticket = memory.peer->hot.parked_out.load(std::memory_order_relaxed);
    auto &woken = c_.shared->stream.in.woken_ticket;
    if (ticket != 0 && ticket != woken && futex_wake_all(low_word(memory.mine->hot.consumed)) > 0) woken = ticket;
    if (memory.peer->hot.wakers[0].load(std::memory_order_relaxed) != memory::kNoWaker) wake_objects_of_peer();
}

void ConnectionEnvironment::wake_own() {
    auto &events = c_.shared->stream.events;
    events.fetch_add(1, std::memory_order_acq_rel);
    futex_wake_all(&events);
    if (Courier *courier = c_.courier.load(std::memory_order_acquire)) courier->attendance.wake();
    const uint64_t one = 1;
    Process &process = *Process::get();
    for (const auto &entry : c_.end().memory().mine->hot.wakers) {
        const uint16_t id = entry.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker) break;
        if (id == kHelperWaker) break;  // it is the one who moves a closed connection on, and knows
        if (id == memory::kAnyWaker) {
            wake_sleepers(process, *c_.peer);
            break;
        }
        raw_syscall(SYS_write, process.wake_object(id).fd.load(), &one, sizeof one);
    }
    queue_items(c_);
}

}  // namespace sansock::socket
