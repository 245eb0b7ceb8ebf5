// poll, select, epoll.
#include <alloca.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include <cstring>

#include "preload/real.hpp"
#include "socket/epoll.hpp"
#include "socket/poll.hpp"
#include "socket/waiting.hpp"
#include "socket/young.hpp"

extern "C" [[noreturn]] void __chk_fail();

namespace sansock::preload {
namespace {

bool valid(const timespec *t) { return t == nullptr || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1'000'000'000); }

uint64_t from_ms(int ms) { return ms < 0 ? socket::kForever : static_cast<uint64_t>(ms) * 1'000'000u; }

uint64_t from_timespec(const timespec *t) {
    return t == nullptr ? socket::kForever : static_cast<uint64_t>(t->tv_sec) * 1'000'000'000u + static_cast<uint64_t>(t->tv_nsec);
}

bool any_stream_in(int count, const fd_set *a, const fd_set *b, const fd_set *c) {
    socket::Process *process = socket::Process::get();
    if (process == nullptr) return false;
    for (int fd = 0; fd < count; ++fd) {
        const bool in_set = (a != nullptr && FD_ISSET(fd, a)) || (b != nullptr && FD_ISSET(fd, b)) || (c != nullptr && FD_ISSET(fd, c));
        if (!in_set) continue;
        if (process->connection(fd) != nullptr || process->epoll(fd) != nullptr) return true;
    }
    return false;
}

/// select in terms of poll, as the kernel does it. Sets larger than FD_SETSIZE are legal as long as the caller allocated them.
int select_by_poll(int count, fd_set *reads, fd_set *writes, fd_set *excepts, uint64_t timeout_ns, const sigset_t *mask) {
    auto *fds = static_cast<pollfd *>(alloca(sizeof(pollfd) * static_cast<size_t>(count)));
    std::memset(fds, 0, sizeof(pollfd) * static_cast<size_t>(count));
    nfds_t used = 0;
    for (int fd = 0; fd < count; ++fd) {
        short events = 0;
        if (reads != nullptr && FD_ISSET(fd, reads)) events |= POLLIN | POLLRDHUP;
        if (writes != nullptr && FD_ISSET(fd, writes)) events |= POLLOUT;
        if (excepts != nullptr && FD_ISSET(fd, excepts)) events |= POLLPRI;
        if (events != 0) fds[used++] = {fd, events, 0};
    }
    const int rc = socket::poll_any(fds, used, timeout_ns, mask);
    if (rc < 0) return rc;
    for (nfds_t i = 0; i < used; ++i) {
        if ((fds[i].revents & POLLNVAL) != 0) return -EBADF;
    }
    int bits = 0;
    auto mark = [&](fd_set *set, const pollfd &fd, short asked, short events) {
        if (set == nullptr || (fd.events & asked) == 0) return;
        if ((fd.revents & events) != 0) {
            ++bits;
        } else {
            FD_CLR(fd.fd, set);
        }
    };
    for (nfds_t i = 0; i < used; ++i) {
        mark(reads, fds[i], POLLIN, POLLIN | POLLHUP | POLLERR | POLLRDHUP);
        mark(writes, fds[i], POLLOUT, POLLOUT | POLLERR);
        mark(excepts, fds[i], POLLPRI, POLLPRI);
    }
    return bits;
}

}  // namespace
}  // namespace sansock::preload

using namespace sansock::preload;
namespace socket_ = sansock::socket;

SANSOCK_EXPORT int poll(pollfd *fds, nfds_t count, int timeout_ms) {
    if (!socket_::poll_has_ours(fds, count)) return SANSOCK_REAL(poll)(fds, count, timeout_ms);
    return static_cast<int>(answer(socket_::poll_any(fds, count, from_ms(timeout_ms), nullptr)));
}
SANSOCK_ALIAS(__poll, poll);

SANSOCK_EXPORT int __poll_chk(pollfd *fds, nfds_t count, int timeout_ms, size_t room) {
    if (count > room / sizeof(pollfd)) __chk_fail();
    return poll(fds, count, timeout_ms);
}

SANSOCK_EXPORT int ppoll(pollfd *fds, nfds_t count, const timespec *timeout, const sigset_t *mask) {
    if (!valid(timeout) || !socket_::poll_has_ours(fds, count)) return SANSOCK_REAL(ppoll)(fds, count, timeout, mask);
    return static_cast<int>(answer(socket_::poll_any(fds, count, from_timespec(timeout), mask)));
}

SANSOCK_EXPORT int __ppoll_chk(pollfd *fds, nfds_t count, const timespec *timeout, const sigset_t *mask, size_t room) {
    if (count > room / sizeof(pollfd)) __chk_fail();
    return ppoll(fds, count, timeout, mask);
}

SANSOCK_EXPORT int select(int count, fd_set *reads, fd_set *writes, fd_set *excepts, timeval *timeout) {
    if (!any_stream_in(count, reads, writes, excepts)) return SANSOCK_REAL(select)(count, reads, writes, excepts, timeout);
    if (timeout != nullptr && (timeout->tv_sec < 0 || timeout->tv_usec < 0)) return static_cast<int>(answer(-EINVAL));
    const uint64_t limit = timeout == nullptr ? socket_::kForever : socket_::to_ns(*timeout);
    const uint64_t start = sansock::now_ns();
    const int rc = select_by_poll(count, reads, writes, excepts, limit, nullptr);
    if (timeout != nullptr) {  // Linux tells how much time is left
        const uint64_t spent = sansock::now_ns() - start;
        const uint64_t left = spent < limit ? limit - spent : 0;
        timeout->tv_sec = static_cast<time_t>(left / 1'000'000'000u);
        timeout->tv_usec = static_cast<suseconds_t>(left % 1'000'000'000u / 1000);
    }
    return static_cast<int>(answer(rc));
}
SANSOCK_ALIAS(__select, select);

SANSOCK_EXPORT int pselect(int count, fd_set *reads, fd_set *writes, fd_set *excepts, const timespec *timeout, const sigset_t *mask) {
    if (!valid(timeout) || !any_stream_in(count, reads, writes, excepts))
        return SANSOCK_REAL(pselect)(count, reads, writes, excepts, timeout, mask);
    return static_cast<int>(answer(select_by_poll(count, reads, writes, excepts, from_timespec(timeout), mask)));
}

SANSOCK_EXPORT int epoll_create(int size) noexcept {
    const int fd = SANSOCK_REAL(epoll_create)(size);
    if (auto *process = fd < 0 ? nullptr : socket_::Process::get_or_create()) process->new_epoll(fd);
    return fd;
}

SANSOCK_EXPORT int epoll_create1(int flags) noexcept {
    const int fd = SANSOCK_REAL(epoll_create1)(flags);
    if (auto *process = fd < 0 ? nullptr : socket_::Process::get_or_create()) process->new_epoll(fd);
    return fd;
}

SANSOCK_EXPORT int epoll_ctl(int epfd, int operation, int fd, epoll_event *event) noexcept {
    socket_::Epoll *epoll = epoll_of(epfd);
    if (long result; epoll != nullptr && socket_::control_young(*epoll, operation, fd, event, result))
        return static_cast<int>(answer(result));
    socket_::Connection *connection = epoll == nullptr ? nullptr : connection_of(fd);
    socket_::Epoll *inner = epoll == nullptr ? nullptr : epoll_of(fd);
    if (inner != nullptr) return static_cast<int>(answer(socket_::nest(*epoll, operation, fd, *inner, event)));
    if (connection == nullptr) return SANSOCK_REAL(epoll_ctl)(epfd, operation, fd, event);
    return static_cast<int>(answer(socket_::epoll_control(*epoll, operation, fd, *connection, event)));
}

SANSOCK_EXPORT int epoll_wait(int epfd, epoll_event *events, int size, int timeout_ms) {
    socket_::Epoll *epoll = epoll_of(epfd);
    if (epoll == nullptr) return SANSOCK_REAL(epoll_wait)(epfd, events, size, timeout_ms);
    return static_cast<int>(answer(socket_::epoll_wait_both(*epoll, events, size, from_ms(timeout_ms), nullptr)));
}

SANSOCK_EXPORT int epoll_pwait(int epfd, epoll_event *events, int size, int timeout_ms, const sigset_t *mask) {
    socket_::Epoll *epoll = epoll_of(epfd);
    if (epoll == nullptr) return SANSOCK_REAL(epoll_pwait)(epfd, events, size, timeout_ms, mask);
    return static_cast<int>(answer(socket_::epoll_wait_both(*epoll, events, size, from_ms(timeout_ms), mask)));
}

SANSOCK_EXPORT int epoll_pwait2(int epfd, epoll_event *events, int size, const timespec *timeout, const sigset_t *mask) {
    socket_::Epoll *epoll = epoll_of(epfd);
    if (epoll == nullptr || !valid(timeout)) return SANSOCK_REAL(epoll_pwait2)(epfd, events, size, timeout, mask);
    return static_cast<int>(answer(socket_::epoll_wait_both(*epoll, events, size, from_timespec(timeout), mask)));
}
