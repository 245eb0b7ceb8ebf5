#include <poll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "peer.hpp"
#include "sockets.hpp"

namespace sansock::parity {

namespace {

using Op = Peer::Op;

class Server {
public:
    Outcome perform(const Peer::Command &command, std::string_view bytes);

private:
    Outcome adopt(int fd) {
        if (fd < 0) return Outcome::of(fd);
        connections_.push_back(fd);
        return {static_cast<long>(connections_.size() - 1), 0, {}};
    }
    Outcome close_all();
    static Outcome receive(int fd, std::size_t max, int flags);
    static Outcome echo(int fd, std::size_t count);
    static void linger_not_at_all(int fd);
    Outcome close_one(std::int32_t connection);
    static Outcome unread(int fd);
    static Outcome poll_one(int fd, int events, int timeout_ms);

    int listener_ = -1;
    std::vector<int> connections_;
};

Outcome Server::close_all() {
    for (const int fd : connections_) {
        if (fd >= 0) close(fd);
    }
    connections_.clear();
    return {};
}

Outcome Server::receive(int fd, std::size_t max, int flags) {
    std::string bytes(max, '\0');
    Outcome outcome = Outcome::of(recv(fd, bytes.data(), max, flags));
    bytes.resize(outcome.result > 0 ? static_cast<std::size_t>(outcome.result) : 0);
    outcome.bytes = std::move(bytes);
    return outcome;
}

Outcome Server::echo(int fd, std::size_t count) {
    char chunk[4096];
    for (std::size_t echoed = 0; echoed < count;) {
        const ssize_t n = recv(fd, chunk, std::min(sizeof chunk, count - echoed), 0);
        if (n <= 0) return Outcome::of(n);
        send_all(fd, chunk, static_cast<std::size_t>(n));
        echoed += static_cast<std::size_t>(n);
    }
    return {static_cast<long>(count), 0, {}};
}

void Server::linger_not_at_all(int fd) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    must("SO_LINGER", setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}

/// The number is forgotten: in a thread it may soon be somebody else's.
Outcome Server::close_one(std::int32_t connection) {
    return Outcome::of(close(std::exchange(connections_.at(static_cast<std::size_t>(connection)), -1)));
}

Outcome Server::unread(int fd) {
    int count = 0;
    Outcome outcome = Outcome::of(ioctl(fd, FIONREAD, &count));
    if (outcome.result == 0) outcome.result = count;
    return outcome;
}

Outcome Server::poll_one(int fd, int events, int timeout_ms) {
    pollfd entry{.fd = fd, .events = static_cast<short>(events)};
    Outcome outcome = Outcome::of(poll(&entry, 1, timeout_ms));
    if (outcome.result > 0) outcome.result = entry.revents;
    return outcome;
}

Outcome Server::perform(const Peer::Command &command, std::string_view bytes) {
    const int fd = command.connection < 0 ? -1 : connections_.at(static_cast<std::size_t>(command.connection));
    const auto count = static_cast<std::size_t>(command.first);
    const auto number = static_cast<int>(command.first);
    switch (command.op) {
        case Op::kListen: listener_ = listening_socket(number); return {local_port(listener_), 0, {}};
        case Op::kAccept: return adopt(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
        case Op::kConnect: return adopt(connected_to(number, static_cast<int>(command.second)));
        case Op::kSend: return Outcome::of(send(fd, bytes.data(), bytes.size(), number | MSG_NOSIGNAL));
        case Op::kReceive: return receive(fd, count, static_cast<int>(command.second));
        case Op::kReceiveUpTo: return receive_up_to(fd, count);
        case Op::kReceiveToEnd: return receive_to_end(fd);
        case Op::kSendPattern: return send_pattern(fd, count, static_cast<std::uint64_t>(command.second));
        case Op::kReceivePattern: return receive_pattern(fd, count, static_cast<std::uint64_t>(command.second));
        case Op::kExchange:
            return exchange_patterns(fd, count, static_cast<std::uint64_t>(command.second), static_cast<std::uint64_t>(command.third));
        case Op::kEcho: return echo(fd, count);
        case Op::kShutdown: return Outcome::of(shutdown(fd, number));
        case Op::kReset: linger_not_at_all(fd); [[fallthrough]];
        case Op::kClose: return close_one(command.connection);
        case Op::kSetOption: {
            const auto value = static_cast<int>(command.third);
            return Outcome::of(setsockopt(fd, number, static_cast<int>(command.second), &value, sizeof value));
        }
        case Op::kUnread: return unread(fd);
        case Op::kPoll: return poll_one(fd, number, static_cast<int>(command.second));
        case Op::kExit: return close_all();
    }
    die("unknown command");
}

void answer(int control, const Outcome &outcome) {
    std::int64_t head[2] = {outcome.result, outcome.error};
    iovec parts[] = {{head, sizeof head}, {const_cast<char *>(outcome.bytes.data()), outcome.bytes.size()}};
    msghdr message{.msg_iov = parts, .msg_iovlen = 2};
    sendmsg(control, &message, MSG_NOSIGNAL);
}

}  // namespace

void serve(int control) {
    Server server;
    std::string bytes(128 * 1024, '\0');
    while (true) {
        Peer::Command command{};
        iovec parts[] = {{&command, sizeof command}, {bytes.data(), bytes.size()}};
        msghdr message{.msg_iov = parts, .msg_iovlen = 2};
        const ssize_t got = recvmsg(control, &message, 0);
        if (got < static_cast<ssize_t>(sizeof command)) return;
        answer(control, server.perform(command, {bytes.data(), static_cast<std::size_t>(got) - sizeof command}));
    }
}

}  // namespace sansock::parity
