#include "socket/young.hpp"

#include "base/guarded_copy.hpp"
#include "socket/channel.hpp"
#include "socket/epoll_items.hpp"
#include "socket/io.hpp"
#include "socket/launch.hpp"
#include "socket/required.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

constexpr uint8_t kInsideMax = UINT8_MAX;
constexpr int kLooksMax = 256;  ///< Two system calls each.

/// The kernel knows the registration by the application's own data until now. That it tells of it once more is what MOD does.
void take_registration_over(Connection &connection, int fd, const Young &young) {
    Epoll &epoll = *young.epoll;
    if (epoll.used.load(std::memory_order_acquire) == 0) return;
    adopt_item(epoll, connection, fd, young.events, young.data);
}

/// A call that was under way when the connection grew up.
void finish(Connection &connection, uint32_t generation, bool sending, long moved, int flags) {
    if (connection.generation != generation) return;
    KernelCall(connection, sending, KernelCall::kUnderWay).done(moved, flags);
}

}  // namespace

bool begin_young(int fd, Role role) {
    if (fd < 0 || static_cast<uint32_t>(fd) >= kYoungMax) return false;
    if (may_require()) return false;  // it may have to move before its first byte
    Process *process = Process::get_or_create();
    if (process == nullptr) return false;
    if (Connection *stale = process->tracked(fd)) forget_descriptor(fd, *stale);  // the kernel has just given the number out anew
    Young &young = process->young(fd);
    stream::Guard guard(young.lock);
    ++young.serial;
    young.grown = 0;
    young.role = role;
    young.inside_in = young.inside_out = 0;
    young.calls = 0;
    young.in = young.out = 0;
    young.epoll = nullptr;
    process->bind_young(fd);
    return true;
}

bool connect_young(int fd) {
    Process *process = Process::get();
    if (process == nullptr || !process->is_young(fd)) return false;
    Young &young = process->young(fd);
    stream::Guard guard(young.lock);
    young.role = Role::kConnect;
    return process->is_young(fd);
}

void end_young(int fd) {
    Process *process = Process::get();
    if (process == nullptr || !process->is_young(fd) || launch().report[0] != '\0') return;  // a report has a line for each
    Young &young = process->young(fd);
    stream::Guard guard(young.lock);
    if (!process->is_young(fd)) return;
    ++young.serial;
    if (young.role != Role::kNone) process->tally().add(young.out, young.in);
    process->unbind(fd);
}

Connection *find_young(Process &process, const sockaddr_in6 &local, const sockaddr_in6 &remote) {
    int looks = kLooksMax;
    for (int fd = std::min(process.highest_fd(), static_cast<int>(kYoungMax) - 1); fd >= 0 && looks > 0; --fd) {  // the latest are there
        sockaddr_in6 its_local{}, its_remote{};
        if (!process.is_young(fd)) continue;
        --looks;
        if (socket_addresses(fd, its_local, its_remote) && same_address(its_local, local) && same_address(its_remote, remote))
            return process.connection(fd);
    }
    return nullptr;
}

void forget_young(Process &process) {
    for (int fd = 0; fd <= process.highest_fd(); ++fd) {
        if (process.is_young(fd)) process.unbind(fd);
    }
}

void grow_all_up(Process &process) {
    for (int fd = 0; fd <= process.highest_fd(); ++fd) {
        if (process.is_young(fd)) static_cast<void>(process.connection(fd));
    }
}

YoungCall::YoungCall(int fd, bool sending, int flags) : fd_(fd), flags_(flags), sending_(sending) {
    Process *process = Process::get();
    if (process == nullptr || !process->is_young(fd) || (flags & MSG_OOB) != 0) return;
    Young &young = process->young(fd);
    stream::Guard guard(young.lock);
    uint8_t &inside = sending ? young.inside_out : young.inside_in;
    if (!process->is_young(fd) || inside == kInsideMax) return;  // so many threads: it is worth a Connection
    ++inside;
    serial_ = young.serial;
    young_ = &young;
}

void YoungCall::done(long moved) {
    Process &process = *Process::get();
    const bool counts = moved > 0 && (flags_ & MSG_PEEK) == 0;
    uint32_t grown, generation;
    {
        stream::Guard guard(young_->lock);
        if (young_->serial != serial_) return;  // the number is another connection's by now
        grown = young_->grown;
        generation = young_->generation;
        if (grown == 0) {
            --(sending_ ? young_->inside_out : young_->inside_in);
            if (!counts) return;
            (sending_ ? young_->out : young_->in) += static_cast<uint64_t>(moved);
            const Policy &policy = process.policy();
            if (++young_->calls < policy.upgrade_after_calls && young_->in + young_->out < policy.upgrade_after_bytes) return;
        }
    }
    if (grown != 0) return finish(process.connection_at(grown - 1), generation, sending_, moved, flags_);
    if (Connection *connection = process.connection(fd_); connection != nullptr && connection->phase() == Phase::kTracked) {
        const SharedConnection &shared = *connection->shared;
        if (is_worth_moving(shared, shared.calls_in.load() + shared.calls_out.load())) become_candidate(*connection);
    }
}

bool control_young(Epoll &epoll, int operation, int fd, epoll_event *event, long &result) {
    Process &process = *Process::get();
    if (!process.is_young(fd)) return false;
    epoll_event asked{};
    if (operation != EPOLL_CTL_DEL && !guarded_copy(&asked, event, sizeof asked)) return false;
    // What the kernel would forget over a change, or might take for one of our names, needs an item.
    if ((asked.events & (EPOLLONESHOT | EPOLLEXCLUSIVE)) != 0 || (asked.data.u64 & kOursMask) == kOurs) return false;
    Young &young = process.young(fd);
    stream::Guard guard(young.lock);
    if (!process.is_young(fd) || (young.epoll != nullptr) != (operation != EPOLL_CTL_ADD) ||
        (young.epoll != nullptr && young.epoll != &epoll))
        return false;
    result = raw_syscall(SYS_epoll_ctl, epoll.fd, operation, fd, &asked);
    if (result < 0) return true;
    young.epoll = operation == EPOLL_CTL_DEL ? nullptr : &epoll;
    young.events = asked.events;
    young.data = asked.data.u64;
    return true;
}

/// nullptr: there is no place for it, and it stays with the kernel. Until all is in its place the descriptor stands for the young one, on
/// whose lock whoever comes meanwhile waits.
Connection *Process::grow_up(int fd) {
    if (raw_syscall(SYS_getpid) != pid_) return nullptr;  // a vfork child, whose parent's books these are
    Young &young = young_of_fd_[fd];
    stream::Guard guard(young.lock);
    if (!is_young(fd)) return tracked(fd);  // another thread was faster
    Connection *connection = new_connection(fd, young.role);
    if (connection == nullptr) {
        unbind(fd);
        return nullptr;
    }
    SharedConnection &shared = *connection->shared;
    shared.stream.out.out.store(young.out, std::memory_order_relaxed);
    shared.stream.in.in.store(young.in, std::memory_order_relaxed);
    shared.stream.kernel_reads.store(young.inside_in, std::memory_order_relaxed);
    shared.stream.kernel_writes.store(young.inside_out, std::memory_order_relaxed);
    young.grown = connection->index + 1;
    young.generation = connection->generation;
    if (young.epoll != nullptr) take_registration_over(*connection, fd, young);
    bind(fd, *connection);
    shared.calls_in.fetch_add(young.calls);  // last: the helper may answer a proposal for one that has had calls
    return connection;
}

}  // namespace sansock::socket
