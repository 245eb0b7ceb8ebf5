#include "socket/channel.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "base/real.hpp"
#include "socket/process.hpp"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace sansock::socket {
namespace {

constexpr const char *kHex = "0123456789abcdef";
constexpr size_t kFdsMax = 1 + kOfferFdsMax;  ///< The socket that proves, and what an offer brings.

char *put_hex(char *at, const uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; ++i) {
        *at++ = kHex[bytes[i] >> 4];
        *at++ = kHex[bytes[i] & 15];
    }
    return at;
}

char *put_address(char *at, const sockaddr_in6 &address) {
    at = put_hex(at, address.sin6_addr.s6_addr, 16);
    return put_hex(at, reinterpret_cast<const uint8_t *>(&address.sin6_port), 2);
}

void map_v4(const sockaddr_storage &from, sockaddr_in6 &to) {
    to = {};
    to.sin6_family = AF_INET6;
    if (from.ss_family == AF_INET6) {
        const auto &v6 = reinterpret_cast<const sockaddr_in6 &>(from);
        to.sin6_addr = v6.sin6_addr;
        to.sin6_port = v6.sin6_port;
        return;
    }
    const auto &v4 = reinterpret_cast<const sockaddr_in &>(from);
    to.sin6_addr.s6_addr[10] = to.sin6_addr.s6_addr[11] = 0xff;
    std::memcpy(&to.sin6_addr.s6_addr[12], &v4.sin_addr, 4);
    to.sin6_port = v4.sin_port;
}

int new_channel_socket() {
    const int fd = static_cast<int>(raw_syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (fd < 0) return fd;
    const int on = 1;
    raw_syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    return fd;
}

}  // namespace

OwnedFds::~OwnedFds() {
    Process *process = Process::get();  // a program that only speaks the language of helpers has none
    for (uint32_t i = 0; i < count; ++i) {
        if (process != nullptr) {
            process->close_hidden(fds[i]);
        } else {
            raw_syscall(SYS_close, fds[i]);
        }
    }
}

int send_message(int channel, const Message &message, int fd, const OfferFds &more) {
    iovec part{const_cast<Message *>(&message), sizeof message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFdsMax)] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (fd >= 0) {
        const size_t size = sizeof(int) * (1 + more.count);
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(size);
        cmsghdr *entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(entry), &fd, sizeof fd);
        std::memcpy(CMSG_DATA(entry) + sizeof fd, more.fds, sizeof(int) * more.count);
    }
    const long sent = raw_syscall(SYS_sendmsg, channel, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? static_cast<int>(sent) : 0;
}

int receive_message(int channel, Received &received) {
    iovec part{&received.message, sizeof received.message};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kFdsMax) + CMSG_SPACE(sizeof(ucred))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const long got = raw_syscall(SYS_recvmsg, channel, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) return static_cast<int>(got);
    size_t descriptors = 0;
    received.sender = {-1, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};
    for (cmsghdr *entry = CMSG_FIRSTHDR(&header); entry != nullptr; entry = CMSG_NXTHDR(&header, entry)) {
        if (entry->cmsg_level != SOL_SOCKET) continue;
        if (entry->cmsg_type == SCM_RIGHTS) {
            const size_t count = (entry->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; ++i) {
                int fd;
                std::memcpy(&fd, CMSG_DATA(entry) + i * sizeof fd, sizeof fd);
                if (i == 0) {
                    received.fd.reset(fd);
                } else if (received.more.count < kOfferFdsMax) {
                    received.more.fds[received.more.count++] = fd;
                } else {
                    raw_syscall(SYS_close, fd);
                }
            }
            descriptors += count;
        } else if (entry->cmsg_type == SCM_CREDENTIALS) {
            std::memcpy(&received.sender, CMSG_DATA(entry), sizeof received.sender);
        }
    }
    if (got == 0 && received.sender.pid < 0) return -EPIPE;  // an empty packet comes with credentials, the end of the stream does not
    const bool whole = got == sizeof received.message && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    return whole && descriptors <= (brings_offer(received.message.type) ? kFdsMax : 1) && received.message.magic == kMessageMagic ? 0
                                                                                                                                  : -EPROTO;
}

ucred maker_of(int channel) {
    ucred maker{0, static_cast<uid_t>(-1), static_cast<gid_t>(-1)};
    socklen_t size = sizeof maker;
    raw_syscall(SYS_getsockopt, channel, SOL_SOCKET, SO_PEERCRED, &maker, &size);
    return maker;
}

bool is_wake_descriptor(int fd) {
    char path[32] = "/proc/self/fd/";
    *std::to_chars(path + 14, path + sizeof path - 1, fd).ptr = '\0';
    constexpr std::string_view wanted = "anon_inode:[eventfd]";
    char name[wanted.size() + 1];
    const long size = raw_syscall(SYS_readlinkat, AT_FDCWD, path, name, sizeof name);
    const long flags = raw_syscall(SYS_fcntl, fd, F_GETFL, 0);
    return size == static_cast<long>(wanted.size()) && std::string_view(name, wanted.size()) == wanted && flags >= 0 &&
           (flags & O_NONBLOCK) != 0;
}

MeetingName meeting_name(uint64_t network_namespace, const sockaddr_in6 &connector, const sockaddr_in6 &acceptor) {
    MeetingName name{};
    char *at = name.path;
    *at++ = '\0';
    std::memcpy(at, "sansock-1-", 10);
    at = put_hex(at + 10, reinterpret_cast<const uint8_t *>(&network_namespace), sizeof network_namespace);
    *at++ = '-';
    at = put_address(at, connector);
    *at++ = '-';
    at = put_address(at, acceptor);
    static_assert(1 + 10 + 16 + 1 + 36 + 1 + 36 <= sizeof name.path);
    name.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + static_cast<size_t>(at - name.path));
    return name;
}

static sockaddr_un as_address(const MeetingName &name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.path, sizeof address.sun_path);
    return address;
}

int connect_meeting(const MeetingName &name) {
    UniqueFd fd(new_channel_socket());
    if (!fd) return -EMFILE;
    const sockaddr_un address = as_address(name);
    const long rc = raw_syscall(SYS_connect, fd.get(), &address, name.size);
    return rc < 0 ? static_cast<int>(rc) : fd.release();
}

int bind_meeting(const MeetingName &name) {
    UniqueFd fd(new_channel_socket());
    if (!fd) return -EMFILE;
    const sockaddr_un address = as_address(name);
    if (const long rc = raw_syscall(SYS_bind, fd.get(), &address, name.size); rc < 0) return static_cast<int>(rc);
    if (const long rc = raw_syscall(SYS_listen, fd.get(), 4); rc < 0) return static_cast<int>(rc);
    return fd.release();
}

uint64_t process_start_time(int pid) {
    char path[32] = "/proc/";
    char *end = std::to_chars(path + 6, path + 20, pid).ptr;
    std::memcpy(end, "/stat", 6);
    const UniqueFd fd(static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0)));
    if (!fd) return 0;
    char text[1024];
    const long size = raw_syscall(SYS_read, fd.get(), text, sizeof text - 1);
    if (size <= 0) return 0;
    text[size] = '\0';
    // The command name may hold anything; what follows its last parenthesis are numbers. Start time is field 22.
    const char *at = std::strrchr(text, ')');
    for (int field = 2; at != nullptr && field < 22; ++field) {
        at = std::strchr(at, ' ');
        if (at != nullptr) ++at;
    }
    uint64_t ticks = 0;
    if (at != nullptr) std::from_chars(at, text + size, ticks);
    return ticks;
}

bool socket_addresses(int fd, sockaddr_in6 &local, sockaddr_in6 &remote) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (raw_syscall(SYS_getsockname, fd, &address, &size) < 0) return false;
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6) return false;
    map_v4(address, local);
    size = sizeof address;
    if (raw_syscall(SYS_getpeername, fd, &address, &size) < 0) return false;
    map_v4(address, remote);
    return true;
}

uint64_t network_namespace_of(int fd) {
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    return raw_syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0 ? 0 : cookie;
}

bool is_established(int fd) {
    uint8_t state = TCP_CLOSE;  // tcpi_state, the first byte of tcp_info
    socklen_t size = sizeof state;
    return raw_syscall(SYS_getsockopt, fd, IPPROTO_TCP, TCP_INFO, &state, &size) == 0 && state == TCP_ESTABLISHED;
}

bool same_address(const sockaddr_in6 &a, const sockaddr_in6 &b) {
    return a.sin6_port == b.sin6_port && std::memcmp(&a.sin6_addr, &b.sin6_addr, sizeof a.sin6_addr) == 0;
}

}  // namespace sansock::socket
