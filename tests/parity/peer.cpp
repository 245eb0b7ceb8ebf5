#include "peer.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "sockets.hpp"

namespace sansock::parity {

namespace {

/// Control sockets keep away from the low numbers, which belong to what a case opens and counts.
constexpr int kControlFdMin = 320;

int moved_up(int fd) {
    const int moved = must("F_DUPFD", fcntl(fd, F_DUPFD_CLOEXEC, kControlFdMin));
    close(fd);
    return moved;
}

[[noreturn]] void become_peer(int control, Peer::Kind kind) {
    fcntl(control, F_SETFD, 0);
    if (kind == Peer::Kind::kPlainProcess) unsetenv("LD_PRELOAD");
    const std::string number = std::to_string(control);
    execl("/proc/self/exe", "parity", "--serve", number.c_str(), nullptr);
    die("exec of the peer");
}

}  // namespace

Peer::Peer(Kind kind) : kind_(kind) {
    int ends[2];
    must("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
    control_ = moved_up(ends[0]);
    const int theirs = moved_up(ends[1]);
    if (kind == Kind::kThread) {
        thread_ = std::thread([theirs] {
            sigset_t all;
            sigfillset(&all);
            pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are for the threads under examination
            serve(theirs);
            close(theirs);
        });
        return;
    }
    process_ = must("fork", fork());
    if (process_ == 0) become_peer(theirs, kind);
    close(theirs);
}

Peer::~Peer() {
    close(control_);
    if (thread_.joinable()) thread_.join();
    if (process_ > 0) waitpid(process_, nullptr, 0);
}

void Peer::kill() {
    if (kind_ == Kind::kThread) {
        perform({.op = Op::kExit});
        return;
    }
    ::kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
    process_ = -1;
}

void Peer::start(const Command &command, std::string_view bytes) {
    iovec parts[] = {{const_cast<Command *>(&command), sizeof command}, {const_cast<char *>(bytes.data()), bytes.size()}};
    msghdr message{.msg_iov = parts, .msg_iovlen = 2};
    must("command to the peer", sendmsg(control_, &message, MSG_NOSIGNAL));
}

Outcome Peer::finish() {
    std::int64_t head[2];
    std::string bytes(128 * 1024, '\0');
    iovec parts[] = {{head, sizeof head}, {bytes.data(), bytes.size()}};
    msghdr message{.msg_iov = parts, .msg_iovlen = 2};
    const int got = must("answer of the peer", recvmsg(control_, &message, 0));
    if (got < static_cast<int>(sizeof head)) die("the peer is gone");
    bytes.resize(static_cast<std::size_t>(got) - sizeof head);
    return {static_cast<long>(head[0]), static_cast<int>(head[1]), std::move(bytes)};
}

Outcome Peer::perform(const Command &command, std::string_view bytes) {
    start(command, bytes);
    return finish();
}

int Peer::listen(int family) { return static_cast<int>(perform({.op = Op::kListen, .first = family}).result); }
int Peer::accept() { return static_cast<int>(perform({.op = Op::kAccept}).result); }
int Peer::connect(int family, int port) { return static_cast<int>(perform({.op = Op::kConnect, .first = family, .second = port}).result); }

using Op = Peer::Op;

Outcome Remote::send(std::string_view bytes, int flags) const { return peer_->perform({Op::kSend, connection_, flags}, bytes); }
Outcome Remote::recv(std::size_t max, int flags) const {
    return peer_->perform({Op::kReceive, connection_, static_cast<std::int64_t>(max), flags});
}
Outcome Remote::receive_up_to(std::size_t count) const {
    start_receive_up_to(count);
    return finish();
}
Outcome Remote::receive_to_end() const {
    start_receive_to_end();
    return finish();
}
Outcome Remote::send_pattern(std::size_t count, std::uint64_t seed) const {
    start_send_pattern(count, seed);
    return finish();
}
Outcome Remote::receive_pattern(std::size_t count, std::uint64_t seed) const {
    start_receive_pattern(count, seed);
    return finish();
}
Outcome Remote::shutdown(int how) const { return peer_->perform({Op::kShutdown, connection_, how}); }
Outcome Remote::close() const { return peer_->perform({Op::kClose, connection_}); }
Outcome Remote::reset() const { return peer_->perform({Op::kReset, connection_}); }
Outcome Remote::set_option(int level, int name, int value) const {
    return peer_->perform({Op::kSetOption, connection_, level, name, value});
}
Outcome Remote::unread() const { return peer_->perform({Op::kUnread, connection_}); }
Outcome Remote::poll(int events, int timeout_ms) const { return peer_->perform({Op::kPoll, connection_, events, timeout_ms}); }

void Remote::start_send(std::string_view bytes) const { peer_->start({Op::kSend, connection_}, bytes); }
void Remote::start_receive_up_to(std::size_t count) const {
    peer_->start({Op::kReceiveUpTo, connection_, static_cast<std::int64_t>(count)});
}
void Remote::start_receive_to_end() const { peer_->start({Op::kReceiveToEnd, connection_}); }
void Remote::start_send_pattern(std::size_t count, std::uint64_t seed) const {
    peer_->start({Op::kSendPattern, connection_, static_cast<std::int64_t>(count), static_cast<std::int64_t>(seed)});
}
void Remote::start_receive_pattern(std::size_t count, std::uint64_t seed) const {
    peer_->start({Op::kReceivePattern, connection_, static_cast<std::int64_t>(count), static_cast<std::int64_t>(seed)});
}
void Remote::start_exchange(std::size_t count, std::uint64_t seed_out, std::uint64_t seed_in) const {
    peer_->start({Op::kExchange, connection_, static_cast<std::int64_t>(count), static_cast<std::int64_t>(seed_out),
                  static_cast<std::int64_t>(seed_in)});
}
void Remote::start_echo(std::size_t count) const { peer_->start({Op::kEcho, connection_, static_cast<std::int64_t>(count)}); }
Outcome Remote::finish() const { return peer_->finish(); }

}  // namespace sansock::parity
