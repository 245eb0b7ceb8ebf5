#include "control/proof.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/unique_fd.hpp"

namespace sansock::control {
namespace {

template <class T>
bool get(int socket, int level, int name, T &value) {
    socklen_t size = sizeof value;
    return getsockopt(socket, level, name, &value, &size) == 0 && size == sizeof value;
}

using NameCall = int (*)(int, sockaddr *, socklen_t *);

Side side_of(int socket, NameCall call) {
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    return call(socket, reinterpret_cast<sockaddr *>(&name), &size) == 0 ? Side::of(name) : Side();
}

}  // namespace

Result<uint64_t> own_network() {
    const UniqueFd any(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    uint64_t network = 0;
    if (!any || !get(any.get(), SOL_SOCKET, SO_NETNS_COOKIE, network))
        return fail_errno("the kernel does not tell networks apart; needed: Linux 5.14");
    return network;
}

Result<uint64_t> prove(int socket, const Pair &claimed, uint64_t network) {
    if (socket < 0) return fail(EBADF, "no socket was passed as proof, or this host's daemon has no descriptors left");
    int type = 0, protocol = 0;
    if (!get(socket, SOL_SOCKET, SO_TYPE, type) || !get(socket, SOL_SOCKET, SO_PROTOCOL, protocol) || type != SOCK_STREAM ||
        protocol != IPPROTO_TCP)
        return fail(EINVAL, "what was passed as proof is no TCP socket");
    uint64_t its_network = 0, cookie = 0;
    if (!get(socket, SOL_SOCKET, SO_NETNS_COOKIE, its_network) || !get(socket, SOL_SOCKET, SO_COOKIE, cookie))
        return fail_errno("the kernel does not tell this socket's network");
    if (its_network != network)
        return fail(EXDEV, "the socket is of another network namespace than the daemon; allowed: containers with the host's network");
    const Side local = side_of(socket, getsockname), remote = side_of(socket, getpeername);
    if (remote.port == 0) return fail(ENOTCONN, "the socket is not connected");
    if (local != claimed.local || remote != claimed.remote)
        return fail(EINVAL, fmt::format("the socket is that of {} and {}, not of {} and {}", local.text(), remote.text(),
                                        claimed.local.text(), claimed.remote.text()));
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state != TCP_ESTABLISHED)
        return fail(ENOTCONN, "the connection is not established, or not any more");
    return cookie;
}

}  // namespace sansock::control
