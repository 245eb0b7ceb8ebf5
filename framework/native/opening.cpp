// How streams come to be: names to addresses, connecting, listening, accepting. The system calls are made directly, so
// that a preload library in the same process does not take the sockets for its own.
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

#include "base/unique_fd.hpp"
#include "native/support.hpp"
#include "socket/io.hpp"

namespace sansock {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

class ResolverCategory final : public std::error_category {
public:
    [[nodiscard]] const char *name() const noexcept override { return "getaddrinfo"; }
    [[nodiscard]] std::string message(int code) const override { return gai_strerror(code); }
};

const std::error_category &resolver_category() {
    static const ResolverCategory category;
    return category;
}

Expected<Addresses> resolve(const std::string &host, std::uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_protocol = IPPROTO_TCP;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo *found = nullptr;
    const int rc = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (rc == EAI_SYSTEM) return native::failure(-errno);
    if (rc != 0) return std::unexpected(std::error_code(rc, resolver_category()));
    return Addresses(found, &freeaddrinfo);
}

UniqueFd open_socket(const addrinfo &address) {
    return UniqueFd(static_cast<int>(raw_syscall(SYS_socket, address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP)));
}

int set_option(int fd, int level, int option, int value) {
    return static_cast<int>(raw_syscall(SYS_setsockopt, fd, level, option, &value, sizeof value));
}

/// 0 or a negative errno.
long connect_until(int fd, const addrinfo &address, Deadline deadline) {
    const long rc = raw_syscall(SYS_connect, fd, address.ai_addr, address.ai_addrlen);
    if (rc != -EINPROGRESS) return rc;
    if (const long ready = native::poll_one(fd, POLLOUT, deadline); ready < 0) return ready;
    int error = 0;
    socklen_t size = sizeof error;
    raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return -error;
}

/// What the framework shall know of a socket that was just connected; nullptr: the kernel has it for good.
socket::Connection *adopt(int fd, socket::Role role) {
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    return native::process() == nullptr ? nullptr : socket::track(fd, role);
}

}  // namespace

Expected<Stream> Stream::connect(const std::string &host, std::uint16_t port, Deadline deadline) {
    const auto addresses = resolve(host, port, 0);
    if (!addresses) return std::unexpected(addresses.error());
    long error = -EADDRNOTAVAIL;
    for (const addrinfo *address = addresses->get(); address != nullptr; address = address->ai_next) {
        UniqueFd fd = open_socket(*address);
        error = fd ? connect_until(fd.get(), *address, deadline) : fd.get();
        if (error < 0) continue;
        socket::Connection *connection = adopt(fd.get(), socket::Role::kConnect);
        return Stream(fd.release(), connection);
    }
    return native::failure(error);
}

Expected<Listener> Listener::open(const std::string &host, std::uint16_t port) {
    const auto addresses = resolve(host, port, AI_PASSIVE);
    if (!addresses) return std::unexpected(addresses.error());
    const addrinfo &address = **addresses;
    UniqueFd fd = open_socket(address);
    if (!fd) return native::failure(fd.get());
    if (const long rc = set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1); rc < 0) return native::failure(rc);
    if (const long rc = raw_syscall(SYS_bind, fd.get(), address.ai_addr, address.ai_addrlen); rc < 0) return native::failure(rc);
    if (const long rc = raw_syscall(SYS_listen, fd.get(), SOMAXCONN); rc < 0) return native::failure(rc);
    return Listener(fd.release());
}

Listener::Listener(Listener &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Listener &Listener::operator=(Listener &&other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

Listener::~Listener() {
    if (fd_ >= 0) raw_syscall(SYS_close, fd_);
}

Expected<Stream> Listener::try_accept() {
    for (;;) {
        const auto fd = static_cast<int>(raw_syscall(SYS_accept4, fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd == -EINTR || fd == -ECONNABORTED) continue;
        if (fd < 0) return native::failure(fd);
        return Stream(fd, adopt(fd, socket::Role::kAccept));
    }
}

Expected<Stream> Listener::accept(Deadline deadline) {
    for (;;) {
        auto stream = try_accept();
        if (stream || stream.error() != std::errc::operation_would_block) return stream;
        if (const long rc = native::poll_one(fd_, POLLIN, deadline); rc < 0) return native::failure(rc);
    }
}

std::uint16_t Listener::port() const {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (raw_syscall(SYS_getsockname, fd_, &address, &size) < 0) return 0;
    return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6 &>(address).sin6_port
                                               : reinterpret_cast<const sockaddr_in &>(address).sin_port);
}

}  // namespace sansock
