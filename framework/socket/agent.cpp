#include "socket/agent.hpp"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "socket/agent_message.hpp"
#include "socket/channel.hpp"
#include "socket/launch.hpp"
#include "socket/meetings.hpp"

namespace sansock::socket {
namespace {

bool send_with(int daemon, const void *message, size_t size, int fd) {
    iovec part{const_cast<void *>(message), size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (fd >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        cmsghdr *entry = CMSG_FIRSTHDR(&header);
        entry->cmsg_level = SOL_SOCKET;
        entry->cmsg_type = SCM_RIGHTS;
        entry->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(entry), &fd, sizeof fd);
    }
    return raw_syscall(SYS_sendmsg, daemon, &header, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<long>(size);
}

/// One message, and the descriptor that it brings. As recv().
long receive_with(int daemon, void *bytes, size_t size, UniqueFd &fd) {
    iovec part{bytes, size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const long got = raw_syscall(SYS_recvmsg, daemon, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const cmsghdr *entry = got < 0 ? nullptr : CMSG_FIRSTHDR(&header);
    if (entry != nullptr && entry->cmsg_level == SOL_SOCKET && entry->cmsg_type == SCM_RIGHTS) {
        int passed;
        memcpy(&passed, CMSG_DATA(entry), sizeof passed);
        fd.reset(passed);
    }
    return got;
}

/// The daemon may read what the process shows, and nothing else.
int open_for_reading(int fd) {
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC));
}

}  // namespace

void Agent::start(int epoll_fd, uint64_t watch) {
    epoll_fd_ = epoll_fd;
    watch_ = watch;
    look();
    if (daemon_ < 0) return;
    // What is drained is to be known before the first connection is given a provider. A daemon that is there answers at once.
    pollfd daemon{daemon_, POLLIN, 0};
    const timespec patience{0, kAnswerNs};
    if (raw_syscall(SYS_ppoll, &daemon, 1, &patience, nullptr, 8) > 0) readable();
}

void Agent::look() {
    due_ns_ = UINT64_MAX;
    sockaddr_un address;
    const char *directory = launch().control[0] != '\0' ? launch().control : kControlDirectory;
    if (process_.board_fd() < 0 || !control_address(directory, kAgentSocket, address)) return;
    wait_ns_ = std::min(2 * wait_ns_, kWaitNsMax);
    due_ns_ = now_ns() + wait_ns_ / 2;
    if (raw_syscall(SYS_faccessat, AT_FDCWD, address.sun_path, F_OK) < 0) return;  // most hosts have none: one call, and no descriptor
    HiddenFd daemon(process_.hide(static_cast<int>(raw_syscall(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))));
    if (!daemon || raw_syscall(SYS_connect, daemon.get(), &address, sizeof address) < 0 || !greet(daemon.get())) return;
    due_ns_ = UINT64_MAX;
    wait_ns_ = kWaitNs;
    daemon_ = daemon.release();
    process_.set_daemon_fd(daemon_);
    epoll_event event{EPOLLIN, {.u64 = watch_}};
    raw_syscall(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_ADD, daemon_, &event);
    was_connected_ = true;
    introductions_.daemon_is_there();
}

void Agent::timers() {
    if (now_ns() >= due_ns_) look();
    const Drain::Progress progress = drain_.timers();
    if (progress != told_) tell_progress(progress);
    reload_.timers();
}

bool Agent::tell(const void *message, size_t size, int fd) const { return daemon_ >= 0 && send_with(daemon_, message, size, fd); }

void Agent::forget(uint64_t id) const {
    const AgentConnection message{{.type = AgentType::kForget}, id};
    tell(&message, sizeof message);
}

bool Agent::tell(AgentType type, uint64_t id, const SharedConnection &connection, int fd) const {
    const AgentConnection message{{.type = type}, id, connection.local, connection.remote};
    return tell(&message, sizeof message, fd);
}

void Agent::tell_progress(Drain::Progress progress) {
    told_ = progress;
    const AgentDrained drained{.number = drain_number_, .in_use = progress == Drain::kInUse};
    if (progress != Drain::kMoving) tell(&drained, sizeof drained);
}

namespace {

/// A message may be longer than this version knows it.
template <class Message>
bool read(const char *bytes, size_t size, Message &message) {
    if (size < sizeof message) return false;
    memcpy(&message, bytes, sizeof message);
    return true;
}

}  // namespace

void Agent::hear(const char *message, size_t size, UniqueFd &fd) {
    AgentHead head;
    if (!read(message, size, head) || head.magic != kAgentMagic) return;
    if (AgentDrain drain; head.type == AgentType::kDrain && read(message, size, drain) && drain.count <= kDrainsMax) hear_drain(drain);
    if (AgentReload reload; head.type == AgentType::kReload && read(message, size, reload)) hear_reload(reload);
    if (AgentFound found; head.type == AgentType::kFound && read(message, size, found)) introductions_.found(found);
    if (AgentExpect expect; head.type == AgentType::kExpect && read(message, size, expect)) introductions_.expect(expect);
    if (AgentChannel channel; head.type == AgentType::kChannel && read(message, size, channel) && fd)
        introductions_.channel(channel, std::move(fd));
}

void Agent::hear_drain(const AgentDrain &drain) {
    drain_number_ = drain.number;
    told_ = Drain::kMoving;
    drain_.set({drain.guids, drain.count});
}

void Agent::hear_reload(const AgentReload &reload) {
    AgentReloaded answer{.number = reload.number};
    answer.done = reload_.begin(reload.live != 0, answer.why) ? 1 : 0;
    tell(&answer, sizeof answer);
}

bool Agent::greet(int daemon) const {
    const UniqueFd board(open_for_reading(process_.board_fd()));
    if (!board) return false;
    AgentHello hello{.pid = process_.pid(), .started = process_start_time(process_.pid())};
    snprintf(hello.program, sizeof hello.program, "%s", launch().program);
    snprintf(hello.config, sizeof hello.config, "%.*s", static_cast<int>(sizeof hello.config - 1), launch().config);
    return send_with(daemon, &hello, sizeof hello, board.get());
}

void Agent::readable() {
    char bytes[4096];
    for (;;) {
        UniqueFd fd;
        const long got = receive_with(daemon_, bytes, sizeof bytes, fd);
        if (got == -EAGAIN) return;
        if (got > 0) hear(bytes, static_cast<size_t>(got), fd);
        if (got <= 0 && got != -EINTR) break;
    }
    raw_syscall(SYS_epoll_ctl, epoll_fd_, EPOLL_CTL_DEL, daemon_, nullptr);  // a child that was just forked may have it, too
    process_.set_daemon_fd(-1);
    process_.close_hidden(daemon_);
    daemon_ = -1;
    due_ns_ = now_ns() + wait_ns_;
}

}  // namespace sansock::socket
