// close, dup, fcntl, ioctl.
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <mqueue.h>
#include <stdarg.h>
#include <sys/ioctl.h>
extern "C" {
#include <sys/pidfd.h>  // has no such lines of its own in glibc 2.36
}
#include <unistd.h>

#include <algorithm>

#include "preload/real.hpp"
#include "preload/step_back.hpp"
#include "socket/epoll.hpp"
#include "socket/helper.hpp"
#include "socket/io.hpp"
#include "socket/waiting.hpp"
#include "socket/young.hpp"

namespace sansock::preload {
namespace {

using socket::Connection;
using socket::Epoll;
using socket::Process;

/// A descriptor of the library's own. To the application the number is not in use, and nothing that it does may take it from us.
bool is_ours(int fd) {
    const Process *process =
        in_vfork_child() || socket::Helper::has_this_thread() ? nullptr : Process::get();  // or a plugin closes its own
    return process != nullptr && fd >= 0 && process->hidden_in(static_cast<unsigned>(fd), static_cast<unsigned>(fd)) == fd;
}

/// A number that is_ours() does not keep is the application's from now on: a plugin closes its own, or a forked child, which has no
/// helper, what came along from its parent.
void give_number(unsigned first, unsigned last) {
    if (Process *process = in_vfork_child() ? nullptr : Process::get()) process->forget_hidden(first, last);
}

/// Ends what the library knows of `fd` and closes it. False: it knows nothing of it.
bool close_known(int fd, long &result) {
    if (in_vfork_child()) return false;
    socket::end_young(fd);
    if (Connection *connection = connection_of(fd)) {
        result = socket::close_descriptor(fd, *connection);
        return true;
    }
    if (Epoll *epoll = epoll_of(fd)) socket::close_epoll(fd, *epoll);
    return false;
}

/// `copy` is about to become another descriptor for what `fd` stands for.
void vacate(int fd, int copy) {
    if (fd == copy || in_vfork_child() || raw_syscall(SYS_fcntl, fd, F_GETFD, 0) < 0) return;
    if (Connection *connection = connection_of(copy)) socket::replace_descriptor(copy, *connection);
    if (Epoll *epoll = epoll_of(copy)) socket::close_epoll(copy, *epoll);
}

/// `copy` is a new descriptor for what `fd` stands for.
int duplicated(int fd, int copy) {
    if (copy < 0 || fd == copy) return copy;
    if (in_vfork_child()) {  // the number is the child's alone, and is for the program that it will become
        lend(fd);
        return copy;
    }
    // The C library reads and writes the standard streams where no interposition reaches.
    if (copy <= STDERR_FILENO) step_back(fd, stream::Reason::kStandardIo);
    if (Connection *connection = connection_of(fd)) Process::get()->bind(copy, *connection);
    if (Epoll *epoll = epoll_of(fd)) Process::get()->bind(copy, *epoll);
    return copy;
}

void set_nonblocking(int fd, bool on) {
    if (Connection *connection = tracked_of(fd)) {
        connection->shared->blocking.store(on ? socket::Blocking::kNo : socket::Blocking::kYes, std::memory_order_relaxed);
    }
}

void forget_range(unsigned first, unsigned last) {
    Process *process = Process::get();
    if (process == nullptr || in_vfork_child()) return;
    const auto high = static_cast<unsigned>(process->highest_fd());
    for (unsigned fd = first; fd <= std::min(last, high); ++fd) {
        long result;
        close_known(static_cast<int>(fd), result);
    }
}

/// Calls `close` for the range, but for descriptors of our own, which the application never had. Its answer, the first bad one.
template <class Close>
int close_around_ours(unsigned first, unsigned last, Close close_all) {
    const auto close = [close_all](unsigned from, unsigned to) {
        give_number(from, to);
        return close_all(from, to);
    };
    const Process *process = in_vfork_child() ? nullptr : Process::get();
    for (int ours; process != nullptr && first <= last && (ours = process->hidden_in(first, last)) >= 0;
         first = static_cast<unsigned>(ours) + 1) {
        const int rc = static_cast<unsigned>(ours) > first ? close(first, static_cast<unsigned>(ours) - 1) : 0;
        if (rc != 0) return rc;
    }
    return first <= last ? close(first, last) : 0;
}

int control(int fd, int command, void *argument) {
    const int rc = SANSOCK_REAL(fcntl)(fd, command, argument);
    if (rc < 0) return rc;
    if (command == F_DUPFD_CLOEXEC && socket::Helper::has_this_thread()) Process::get()->note_hidden(rc);  // a plugin's
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) return duplicated(fd, rc);
    if (command == F_SETFL && (reinterpret_cast<long>(argument) & O_ASYNC) != 0) step_back(fd, stream::Reason::kUnmodelled);
    if (command == F_SETFL) set_nonblocking(fd, (reinterpret_cast<long>(argument) & O_NONBLOCK) != 0);
    return rc;
}

}  // namespace
}  // namespace sansock::preload

using namespace sansock::preload;
using sansock::socket::Connection;

SANSOCK_EXPORT int close(int fd) {
    long result;
    if (close_known(fd, result)) return static_cast<int>(answer(result));
    if (is_ours(fd)) return static_cast<int>(answer(-EBADF));
    if (fd >= 0) give_number(static_cast<unsigned>(fd), static_cast<unsigned>(fd));
    return SANSOCK_REAL(close)(fd);
}
SANSOCK_ALIAS(__close, close);

/// To libc no more than close, of whatever it is given.
SANSOCK_EXPORT int mq_close(mqd_t queue) { return close(queue); }

SANSOCK_EXPORT int close_range(unsigned first, unsigned last, int flags) noexcept {
    if ((flags & CLOSE_RANGE_CLOEXEC) != 0 || first > last) return SANSOCK_REAL(close_range)(first, last, flags);
    forget_range(first, last);
    return close_around_ours(first, last, [flags](unsigned from, unsigned to) { return SANSOCK_REAL(close_range)(from, to, flags); });
}

SANSOCK_EXPORT void closefrom(int first) noexcept {
    const auto from = static_cast<unsigned>(std::max(first, 0));
    forget_range(from, ~0u);
    const Process *process = Process::get();
    if (in_vfork_child() || process == nullptr || process->hidden_in(from, ~0u) < 0) {
        give_number(from, ~0u);
        return SANSOCK_REAL(closefrom)(first);
    }
    close_around_ours(from, ~0u, [](unsigned begin, unsigned end) { return SANSOCK_REAL(close_range)(begin, end, 0); });
}

SANSOCK_EXPORT int dup(int fd) noexcept { return duplicated(fd, SANSOCK_REAL(dup)(fd)); }

SANSOCK_EXPORT int dup2(int fd, int copy) noexcept {
    if (is_ours(copy)) return static_cast<int>(answer(-EBADF));  // as beyond the limit of descriptors
    vacate(fd, copy);
    if (copy >= 0) give_number(static_cast<unsigned>(copy), static_cast<unsigned>(copy));
    return duplicated(fd, SANSOCK_REAL(dup2)(fd, copy));
}
SANSOCK_ALIAS(__dup2, dup2);

SANSOCK_EXPORT int dup3(int fd, int copy, int flags) noexcept {
    if (is_ours(copy)) return static_cast<int>(answer(-EBADF));
    vacate(fd, copy);
    if (copy >= 0) give_number(static_cast<unsigned>(copy), static_cast<unsigned>(copy));
    return duplicated(fd, SANSOCK_REAL(dup3)(fd, copy, flags));
}

SANSOCK_EXPORT int pidfd_getfd(int process, int target, unsigned flags) noexcept {
    const int copy = SANSOCK_REAL(pidfd_getfd)(process, target, flags);
    const int saved = errno;
    if (copy >= 0) sansock::socket::adopt(copy);
    errno = saved;
    return copy;
}

SANSOCK_EXPORT int fcntl(int fd, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control(fd, command, argument);
}
SANSOCK_ALIAS(fcntl64, fcntl);
SANSOCK_ALIAS(__fcntl, fcntl);

namespace {

/// Requests whose answer does not depend on where the bytes are: those modelled below, what is about the descriptor, the network's
/// interfaces and routes, and terminals, which a socket is not.
bool is_understood(unsigned long request) {
    constexpr unsigned long kTerminals = 0x54, kSockets = 0x89;
    switch (request) {
        case FIONREAD:
        case FIONBIO:
        case SIOCOUTQ:
        case FIOCLEX:
        case FIONCLEX:
        case SIOCATMARK:
        case FIOGETOWN:
        case SIOCGPGRP: return true;
        case FIOASYNC:
        case FIOSETOWN:
        case SIOCSPGRP: return false;
        default: return request >> 8 == kTerminals || (request >> 8 == kSockets && (request & 0xff) >= 0x0b);
    }
}

}  // namespace

SANSOCK_EXPORT int ioctl(int fd, unsigned long request, ...) noexcept {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (!is_understood(request)) step_back(fd, sansock::stream::Reason::kUnmodelled);
    Connection *connection = tracked_of(fd);
    const int rc = SANSOCK_REAL(ioctl)(fd, request, argument);
    if (rc != 0 || connection == nullptr || argument == nullptr) return rc;
    if (request == FIONBIO) {
        set_nonblocking(fd, *static_cast<int *>(argument) != 0);
    } else if (connection->mapped.load(std::memory_order_acquire) && connection->phase() == sansock::socket::Phase::kAttached) {
        // What TCP holds still counts; what the window holds is added.
        if (request == FIONREAD) *static_cast<int *>(argument) += static_cast<int>(connection->end().unread_beside_tcp());
        if (request == SIOCOUTQ) *static_cast<int *>(argument) += static_cast<int>(connection->end().unacknowledged());
    }
    return rc;
}
