#include "transport.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {
namespace {

struct Name {
    sockaddr_storage storage{};
    socklen_t size = 0;
    [[nodiscard]] const sockaddr *get() const { return reinterpret_cast<const sockaddr *>(&storage); }
};

Name name_of(std::string_view address) {
    Name name;
    if (address.starts_with("unix:")) {
        const std::string_view path = address.substr(5);
        auto &unix_name = reinterpret_cast<sockaddr_un &>(name.storage);
        if (path.size() + 1 > sizeof unix_name.sun_path) fail("the address is too long");
        unix_name.sun_family = AF_UNIX;
        std::memcpy(unix_name.sun_path + 1, path.data(), path.size());
        name.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
        return name;
    }
    const char *what = "an address is tcp:PORT, tcp:HOST:PORT with an IPv4 address, or unix:NAME";
    if (!address.starts_with("tcp:")) fail(what);
    const std::size_t colon = address.rfind(':');
    const std::string host(colon > 4 ? address.substr(4, colon - 4) : "127.0.0.1");
    std::uint16_t port = 0;
    const char *end = address.data() + address.size();
    auto &tcp_name = reinterpret_cast<sockaddr_in &>(name.storage);
    if (std::from_chars(address.data() + colon + 1, end, port).ptr != end || inet_pton(AF_INET, host.c_str(), &tcp_name.sin_addr) != 1)
        fail(what);
    tcp_name.sin_family = AF_INET;
    tcp_name.sin_port = htons(port);
    name.size = sizeof tcp_name;
    return name;
}

int socket_for(const Name &name) {
    const int fd = ::socket(name.get()->sa_family, SOCK_STREAM, 0);  // librspreload takes no flags
    if (fd < 0) fail_errno("socket");
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);  // nor this, which is no matter there
    const int on = 1;
    if (name.get()->sa_family == AF_INET) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

}  // namespace

void fail(const std::string &what) {
    std::fprintf(stderr, "sansock-bench-worker: %s\n", what.c_str());
    std::exit(1);
}

void fail_errno(const std::string &what) { fail(what + ": " + std::strerror(errno)); }

int listen_on(const std::string &address) {
    const Name name = name_of(address);
    const int fd = socket_for(name);
    if (bind(fd, name.get(), name.size) != 0) fail_errno("bind to " + address);
    if (listen(fd, SOMAXCONN) != 0) fail_errno("listen");
    return fd;
}

std::string address_of(int listener, const std::string &asked) {
    if (!asked.starts_with("tcp:")) return asked;
    sockaddr_in name{};
    socklen_t size = sizeof name;
    if (getsockname(listener, reinterpret_cast<sockaddr *>(&name), &size) != 0) fail_errno("getsockname");
    return asked.substr(0, asked.rfind(':') + 1) + std::to_string(ntohs(name.sin_port));
}

int connect_to(const std::string &address) {
    const Name name = name_of(address);
    const int fd = socket_for(name);
    if (connect(fd, name.get(), name.size) != 0) fail_errno("connect to " + address);
    return fd;
}

int open_connection(const std::string &address, Hello::Mode mode, std::size_t size) {
    const int fd = connect_to(address);
    Hello hello;
    hello.mode = mode;
    hello.size = static_cast<std::uint32_t>(size);
    send_all(fd, bytes_of(hello));
    return fd;
}

void send_all(int fd, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) fail_errno("send");
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
}

bool receive_all(int fd, std::span<std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t received = ::recv(fd, bytes.data(), bytes.size(), 0);
        if (received < 0 && errno == EINTR) continue;
        if (received < 0) fail_errno("receive");
        if (received == 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(received));
    }
    return true;
}

}  // namespace bench
