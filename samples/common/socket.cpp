#include "common/socket.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace samples {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses resolve(const std::string &host, std::uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo *found = nullptr;
    const int rc = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (rc == EAI_SYSTEM) throw_errno(host);
    if (rc != 0) throw std::runtime_error(host + ": " + gai_strerror(rc));
    return {found, &freeaddrinfo};
}

Socket open_socket(const addrinfo &address) {
    Socket socket(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, address.ai_protocol));
    if (socket.fd() < 0) throw_errno("socket");
    return socket;
}

std::string name_of(const std::string &host, std::uint16_t port) { return host + " port " + std::to_string(port); }

}  // namespace

Socket::Socket(Socket &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Socket &Socket::operator=(Socket &&other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

Socket::~Socket() {
    if (fd_ >= 0) ::close(fd_);
}

void throw_errno(const std::string &what) { throw std::system_error(errno, std::generic_category(), what); }

Socket listen_socket(const std::string &host, std::uint16_t port) {
    const Addresses addresses = resolve(host, port, AI_PASSIVE);
    Socket socket = open_socket(*addresses);
    const int on = 1;
    if (setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) throw_errno("SO_REUSEADDR");
    if (bind(socket.fd(), addresses->ai_addr, addresses->ai_addrlen) != 0) throw_errno("bind to " + name_of(host, port));
    if (listen(socket.fd(), SOMAXCONN) != 0) throw_errno("listen on " + name_of(host, port));
    return socket;
}

Socket connect_socket(const std::string &host, std::uint16_t port) {
    const Addresses addresses = resolve(host, port, 0);
    int error = 0;
    for (const addrinfo *address = addresses.get(); address != nullptr; address = address->ai_next) {
        Socket socket = open_socket(*address);
        if (connect(socket.fd(), address->ai_addr, address->ai_addrlen) != 0) {
            error = errno;
            continue;
        }
        return socket;
    }
    errno = error;
    throw_errno("connect to " + name_of(host, port));
}

std::uint16_t local_port(const Socket &socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(socket.fd(), reinterpret_cast<sockaddr *>(&address), &size) != 0) throw_errno("getsockname");
    const bool v6 = address.ss_family == AF_INET6;
    return ntohs(v6 ? reinterpret_cast<const sockaddr_in6 &>(address).sin6_port : reinterpret_cast<const sockaddr_in &>(address).sin_port);
}

void send_without_delay(const Socket &socket) {
    const int on = 1;
    if (setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) throw_errno("TCP_NODELAY");
}

int run_main(const char *name, int (*body)(int, char **), int argc, char **argv) {
    try {
        return body(argc, argv);
    } catch (const std::exception &error) {
        std::cerr << name << ": " << error.what() << '\n';
        return 1;
    }
}

}  // namespace samples
