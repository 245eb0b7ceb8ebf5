// connect, accept, shutdown, options.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstring>

#include "preload/faults.hpp"
#include "preload/real.hpp"
#include "preload/step_back.hpp"
#include "socket/io.hpp"
#include "socket/waiting.hpp"
#include "socket/young.hpp"

namespace sansock::preload {
namespace {

bool is_inet(int family) { return family == AF_INET || family == AF_INET6; }

bool is_tcp(int fd) {
    int protocol = 0;
    socklen_t size = sizeof protocol;
    return raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && protocol == IPPROTO_TCP;
}

void track_accepted(int listener, int fd, int family) {
    if (fd < 0 || !is_inet(family)) return;
    const int saved = errno;
    if (socket::begin_young(fd, socket::Role::kAccept) || socket::track(fd, socket::Role::kAccept) != nullptr) install_fault_handler();
    // What only the kernel can do for the listener it does for every connection that comes from it.
    const socket::Connection *parent = connection_of(listener);
    if (parent != nullptr && parent->reason() == stream::Reason::kUnmodelled) step_back(fd, stream::Reason::kUnmodelled);
    errno = saved;
}

/// Accepts with an address of our own when the caller wants none: its family says whether this can be TCP.
template <class Accept>
int accept_tracked(int listener, sockaddr *address, socklen_t *length, Accept accept) {
    sockaddr_storage own;
    socklen_t own_length = sizeof own;
    const bool asked = address != nullptr && length != nullptr && *length >= sizeof(sa_family_t);
    const int fd = asked ? accept(address, length) : accept(reinterpret_cast<sockaddr *>(&own), &own_length);
    track_accepted(listener, fd, asked ? address->sa_family : own.ss_family);
    return fd;
}

}  // namespace
}  // namespace sansock::preload

using namespace sansock::preload;
using sansock::raw_syscall;
namespace socket_ = sansock::socket;

SANSOCK_EXPORT int socket(int domain, int type, int protocol) noexcept {
    const int fd = SANSOCK_REAL(socket)(domain, type, protocol);
    const bool stream = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP);
    if (fd < 0 || !is_inet(domain) || !stream) return fd;
    const int saved = errno;
    if (!socket_::begin_young(fd, socket_::Role::kNone)) socket_::track(fd, socket_::Role::kNone);
    errno = saved;
    return fd;
}

SANSOCK_EXPORT int connect(int fd, const sockaddr *address, socklen_t length) {
    const int rc = SANSOCK_REAL(connect)(fd, address, length);
    if ((rc < 0 && errno != EINPROGRESS) || address == nullptr) return rc;
    const int saved = errno;
    if (is_inet(address->sa_family) && socket_::connect_young(fd)) {
        install_fault_handler();
        errno = saved;
        return rc;
    }
    socket_::Connection *connection = connection_of(fd);
    if (connection != nullptr && address->sa_family == AF_UNSPEC) {
        socket_::disconnected(*connection);
    } else if (is_inet(address->sa_family)) {
        if (connection == nullptr && is_tcp(fd)) connection = socket_::track(fd, socket_::Role::kConnect);
        if (connection != nullptr) {
            socket_::connected(*connection);
            install_fault_handler();
        }
    }
    errno = saved;
    return rc;
}
SANSOCK_ALIAS(__connect, connect);

SANSOCK_EXPORT int accept(int fd, sockaddr *address, socklen_t *length) {
    if (address != nullptr && (length == nullptr || *length < sizeof(sa_family_t))) return SANSOCK_REAL(accept)(fd, address, length);
    return accept_tracked(fd, address, length, [&](sockaddr *to, socklen_t *size) { return SANSOCK_REAL(accept)(fd, to, size); });
}

SANSOCK_EXPORT int accept4(int fd, sockaddr *address, socklen_t *length, int flags) {
    if (address != nullptr && (length == nullptr || *length < sizeof(sa_family_t)))
        return SANSOCK_REAL(accept4)(fd, address, length, flags);
    return accept_tracked(fd, address, length, [&](sockaddr *to, socklen_t *size) { return SANSOCK_REAL(accept4)(fd, to, size, flags); });
}

SANSOCK_EXPORT int shutdown(int fd, int how) noexcept {
    socket_::Connection *connection = connection_of(fd);
    if (connection == nullptr) return SANSOCK_REAL(shutdown)(fd, how);
    return static_cast<int>(answer(socket_::shutdown_stream(*connection, fd, how)));
}

namespace {

/// Options whose effect on the stream only the kernel can give.
bool needs_kernel(int level, int option) {
    if (level == SOL_SOCKET) {
        return option == SO_RCVLOWAT || option == SO_TIMESTAMP || option == SO_TIMESTAMPNS || option == SO_TIMESTAMPING ||
               option == SO_OOBINLINE || option == SO_ZEROCOPY;
    }
    return level == IPPROTO_TCP && (option == TCP_INQ || option == TCP_REPAIR || option == TCP_ULP);
}

/// The state that TCP would be in, had the ends of the streams travelled by it.
uint8_t shown_state(const socket_::Connection &connection, uint8_t kernel) {
    auto &end = const_cast<socket_::Connection &>(connection).end();
    if (kernel != TCP_ESTABLISHED) return kernel;
    const bool ours = end.state().out.fin, theirs = end.peer_finished();
    if (ours && theirs) return TCP_TIME_WAIT;
    if (ours) return TCP_FIN_WAIT2;
    return theirs ? uint8_t{TCP_CLOSE_WAIT} : kernel;
}

}  // namespace

SANSOCK_EXPORT int getsockopt(int fd, int level, int option, void *value, socklen_t *length) noexcept {
    // It maps the pages that TCP has received.
    if (level == IPPROTO_TCP && option == TCP_ZEROCOPY_RECEIVE) step_back(fd, sansock::stream::Reason::kUnmodelled);
    const int rc = SANSOCK_REAL(getsockopt)(fd, level, option, value, length);
    socket_::Connection *connection = rc == 0 ? tracked_of(fd) : nullptr;
    if (connection == nullptr || !connection->mapped.load(std::memory_order_acquire)) return rc;
    if (level == SOL_SOCKET && option == SO_SNDBUF && *length >= sizeof(int)) {
        if (const uint32_t shown = connection->shared->send_buffer_shown.load(std::memory_order_relaxed); shown != 0) {
            std::memcpy(value, &shown, sizeof shown);
        }
    }
    if (level == SOL_SOCKET && option == SO_LINGER && *length >= sizeof(linger)) socket_::show_linger(*connection, value);
    if (level == SOL_SOCKET && option == SO_ERROR && *length >= sizeof(int)) {
        int error;
        std::memcpy(&error, value, sizeof error);
        error = connection->end().take_error(error);
        std::memcpy(value, &error, sizeof error);
    }
    if (level == IPPROTO_TCP && option == TCP_INFO && *length >= 1) {
        auto *state = static_cast<uint8_t *>(value);
        *state = shown_state(*connection, *state);
    }
    return rc;
}

SANSOCK_EXPORT int setsockopt(int fd, int level, int option, const void *value, socklen_t length) noexcept {
    if (needs_kernel(level, option)) step_back(fd, sansock::stream::Reason::kUnmodelled);
    socket_::Connection *connection = tracked_of(fd);
    if (level == SOL_SOCKET && option == SO_LINGER && connection != nullptr && connection->mapped.load(std::memory_order_acquire))
        return static_cast<int>(answer(socket_::set_linger(*connection, fd, value, length)));
    const int rc = SANSOCK_REAL(setsockopt)(fd, level, option, value, length);
    if (rc == 0 && connection != nullptr && level == SOL_SOCKET && option == SO_SNDBUF) connection->shared->send_buffer_shown.store(0);
    if (rc == 0 && connection != nullptr && level == SOL_SOCKET && (option == SO_RCVTIMEO || option == SO_SNDTIMEO) &&
        length >= sizeof(timeval)) {
        timeval timeout;
        std::memcpy(&timeout, value, sizeof timeout);
        auto &field = option == SO_RCVTIMEO ? connection->shared->receive_timeout_ns : connection->shared->send_timeout_ns;
        field.store(socket_::to_ns(timeout), std::memory_order_relaxed);
    }
    return rc;
}
