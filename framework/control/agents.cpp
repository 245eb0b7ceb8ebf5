#include "control/agents.hpp"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/printable.hpp"

namespace sansock::control {
namespace {

using socket::AgentMessage;

/// Shorter than any message ever was is none; longer ones come from later versions.
constexpr size_t kMessageMin = sizeof(AgentMessage), kMessageMax = 16384;

template <size_t size>
std::string text_of(const char (&from)[size]) {
    return printable({from, strnlen(from, size)});
}

struct Received {
    AgentMessage message;
    UniqueFd fd;
};

enum class Got { kMessage, kNothing, kEnd, kRubbish };

Got receive_message(int channel, Received &received) {
    alignas(AgentMessage) char bytes[kMessageMax];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
    iovec part{bytes, sizeof bytes};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(channel, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? Got::kNothing : Got::kEnd;
    size_t descriptors = 0;
    for (cmsghdr *entry = CMSG_FIRSTHDR(&header); entry != nullptr; entry = CMSG_NXTHDR(&header, entry)) {
        if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
        for (size_t at = 0; at + sizeof(int) <= entry->cmsg_len - CMSG_LEN(0); at += sizeof(int), ++descriptors) {
            int fd;
            std::memcpy(&fd, CMSG_DATA(entry) + at, sizeof fd);
            received.fd.reset(fd);  // the last one; those before it are closed
        }
    }
    if (got == 0) return Got::kEnd;
    const bool whole = static_cast<size_t>(got) >= kMessageMin && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && descriptors <= 1;
    if (!whole) return Got::kRubbish;
    std::memcpy(&received.message, bytes, sizeof received.message);
    return received.message.magic == socket::kAgentMagic ? Got::kMessage : Got::kRubbish;
}

}  // namespace

Agents::Agents(UniqueFd listener) : listener_(std::move(listener)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

void Agents::serve(int stop) {
    for (const int fd : {listener_.get(), stop}) {
        epoll_event event{EPOLLIN, {.fd = fd}};
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
    }
    for (;;) {
        epoll_event events[64];
        const int count = epoll_wait(epoll_.get(), events, std::size(events), -1);
        const std::scoped_lock lock(mutex_);
        for (int i = 0; i < count; ++i) {
            const int fd = events[i].data.fd;
            if (fd == stop) return;
            if (fd == listener_.get()) {
                accept_all();
                continue;
            }
            const auto found = agents_.find(fd);
            if (found == agents_.end() || receive(found->second)) continue;
            if (const auto family = families_.find(found->second.family); family != families_.end() && --family->second.members == 0)
                families_.erase(family);
            agents_.erase(found);
        }
    }
}

void Agents::accept_all() {
    for (;;) {
        UniqueFd channel(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!channel) {
            if (errno == ECONNABORTED || errno == EINTR) continue;
            if (errno != EAGAIN) spdlog::warn("a process cannot be greeted: {}", std::strerror(errno));
            return;
        }
        Agent agent;
        socklen_t size = sizeof agent.who;
        if (agents_.size() >= kAgentsMax || getsockopt(channel.get(), SOL_SOCKET, SO_PEERCRED, &agent.who, &size) != 0) continue;
        const int fd = channel.get();
        epoll_event event{EPOLLIN | EPOLLRDHUP, {.fd = fd}};
        if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) continue;
        agent.channel = std::move(channel);
        agents_.insert_or_assign(fd, std::move(agent));
    }
}

bool Agents::receive(Agent &agent) {
    Received received;
    switch (receive_message(agent.channel.get(), received)) {
        case Got::kNothing: return true;
        case Got::kEnd: return false;
        case Got::kRubbish:
            spdlog::warn("uid {}, pid {} sends what is no message: its channel is closed", agent.who.uid, agent.who.pid);
            return false;
        case Got::kMessage: break;
    }
    if (received.message.type == socket::AgentType::kHello && !agent.greeted) return greet(agent, received.message, std::move(received.fd));
    return agent.greeted;  // what a later version says
}

bool Agents::greet(Agent &agent, const AgentMessage &hello, UniqueFd fd) {
    auto board = BoardView::open(std::move(fd));
    if (!board) {
        spdlog::warn("uid {}, pid {}: {}", agent.who.uid, agent.who.pid, board.error().text);
        return false;
    }
    agent.greeted = true;
    agent.own_pid = hello.pid;
    agent.family = board->family();
    agent.program = text_of(hello.program);
    agent.config = text_of(hello.config);
    const auto [family, is_new] = families_.try_emplace(agent.family, Family{std::move(*board), 0});
    ++family->second.members;
    spdlog::debug("{} (uid {}, pid {}) shows itself", agent.program, agent.who.uid, agent.who.pid);
    return true;
}

void Agents::visit(Visitor &visitor) {
    const std::scoped_lock lock(mutex_);
    std::map<uint64_t, std::vector<const Agent *>> members;
    for (const auto &[fd, agent] : agents_) {
        if (!agent.greeted) continue;
        visitor.process(agent);
        members[agent.family].push_back(&agent);
    }
    for (const auto &[family, agents] : members) {
        BoardView &board = families_.at(family).board;
        if (!board.refresh()) continue;
        for (uint32_t i = 0; i < board.count(); ++i) {
            constexpr uint64_t kTracked = 3;  // socket::Phase; those before it have no connection
            if (board.number(i, "phase") < kTracked) continue;
            const auto pids = board.numbers(i, "holders");
            std::vector<const Agent *> holders;
            std::ranges::copy_if(agents, std::back_inserter(holders), [&](const Agent *agent) {
                return std::ranges::find(pids, static_cast<uint32_t>(agent->own_pid)) != pids.end();
            });
            visitor.connection(holders, *agents.front(), board, i);
        }
        board.forget();
    }
}

}  // namespace sansock::control
