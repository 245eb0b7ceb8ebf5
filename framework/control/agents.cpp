#include "control/agents.hpp"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "base/printable.hpp"
#include "control/closers.hpp"
#include "control/rendezvous.hpp"

namespace sansock::control {
namespace {

using socket::AgentConnection;
using socket::AgentDrain;
using socket::AgentDrained;
using socket::AgentHead;
using socket::AgentHello;
using socket::AgentReload;
using socket::AgentReloaded;
using socket::AgentType;

constexpr size_t kMessageMax = 16384;
/// Of one that goes: whoever comes and goes all the time must not keep the others waiting.
constexpr uint64_t kBytesOfLastLookMax = uint64_t{16} << 20;
constexpr auto kFullFor = std::chrono::milliseconds(100);

template <size_t size>
std::string text_of(const char (&from)[size]) {
    return printable({from, strnlen(from, size)});
}

template <size_t size>
std::string lines_of(const char (&from)[size]) {
    std::string out;
    for (std::string_view rest(from, strnlen(from, size)); !rest.empty();) {
        const size_t end = std::min(rest.find('\n'), rest.size());
        out += printable(rest.substr(0, end)) + '\n';
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return out;
}

struct Received {
    alignas(8) char bytes[kMessageMax];
    size_t size = 0;
    AgentHead head;
    UniqueFd fd;

    /// The message, which may be longer than this version knows. False: it is shorter.
    template <class Message>
    bool read(Message &message) const {
        if (size < sizeof message) return false;
        std::memcpy(&message, bytes, sizeof message);
        return true;
    }
};

enum class Got { kMessage, kNothing, kEnd, kRubbish };

/// What a message brings and nobody wants is closed; and while closes hang, or no descriptors are left here, no message brings anything.
/// It is a message all the same: its sender has done nothing wrong, and what else he has registered would go with his channel.
Got receive_message(const Line &line, Received &received) {
    Closers &closers = Closers::instance();
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
    iovec part{received.bytes, sizeof received.bytes};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = closers.may_take(line.who.uid) ? sizeof control : 0;
    const ssize_t got = recvmsg(line.channel.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? Got::kNothing : Got::kEnd;
    size_t descriptors = 0;
    for (cmsghdr *entry = CMSG_FIRSTHDR(&header); entry != nullptr; entry = CMSG_NXTHDR(&header, entry)) {
        if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
        for (size_t at = 0; at + sizeof(int) <= entry->cmsg_len - CMSG_LEN(0); at += sizeof(int), ++descriptors) {
            int fd;
            std::memcpy(&fd, CMSG_DATA(entry) + at, sizeof fd);
            closers.close(std::exchange(received.fd, UniqueFd(fd)), line.who.uid);
        }
    }
    if (got == 0) return Got::kEnd;
    received.size = static_cast<size_t>(got);
    const bool whole = received.read(received.head) && (header.msg_flags & MSG_TRUNC) == 0 && descriptors <= 1;
    return whole && received.head.magic == socket::kAgentMagic ? Got::kMessage : Got::kRubbish;
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
        bool full = false;
        {
            const std::scoped_lock lock(mutex_);
            bool some_come = false;
            for (int i = 0; i < count; ++i) {
                const int fd = events[i].data.fd;
                if (fd == stop) return;
                if (fd == listener_.get()) {
                    some_come = true;
                } else if (const auto found = agents_.find(fd); found != agents_.end() && !receive(found->second)) {
                    forget(found);
                }
            }
            full = some_come && !accept_all();
        }
        if (full) std::this_thread::sleep_for(kFullFor);  // or it would be told of those who wait again at once
    }
}

void Agents::forget(std::map<int, Agent>::iterator gone) {
    if (const auto family = families_.find(gone->second.family); family != families_.end() && --family->second.members == 0) {
        if (family->second.board->refresh(kBytesOfLastLookMax)) depart(*family);
        families_.erase(family);
    }
    // The line may live on where it is being told something.
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, gone->first, nullptr);
    if (rendezvous_ != nullptr) rendezvous_->forget(*gone->second.line);
    if (const auto user = of_user_.find(gone->second.who.uid); --user->second == 0) of_user_.erase(user);
    agents_.erase(gone);
    full_ = false;
}

void Agents::depart(const std::pair<const BoardView::Family, Family> &family) {
    if (departed_.size() == kDepartedMax) {
        const auto oldest = departed_.begin();  // by the number of its file
        ended_[oldest->second.user].add(oldest->second.counts);
        departed_.erase(oldest);
    }
    departed_[family.first] = {family.second.user, Counts::of(*family.second.board)};
}

/// False: there is no descriptor for those who are left.
bool Agents::accept_all() {
    for (;;) {
        UniqueFd channel(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!channel) {
            if (errno == ECONNABORTED || errno == EINTR) continue;
            if (errno == EAGAIN) return true;
            if (!std::exchange(full_, true)) spdlog::warn("processes cannot be greeted: {}", std::strerror(errno));
            return false;
        }
        Agent agent;
        socklen_t size = sizeof agent.who;
        if (agents_.size() >= kAgentsMax || getsockopt(channel.get(), SOL_SOCKET, SO_PEERCRED, &agent.who, &size) != 0) continue;
        if (agent.who.uid != 0 && of_user_[agent.who.uid] >= kAgentsOfUserMax) continue;
        const int fd = channel.get();
        epoll_event event{EPOLLIN | EPOLLRDHUP, {.fd = fd}};
        if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) continue;
        agent.line = std::make_shared<Line>(std::move(channel), agent.who);
        ++of_user_[agent.who.uid];
        agents_.insert_or_assign(fd, std::move(agent));
    }
}

bool Agents::receive(Agent &agent) {
    Received received;
    struct Closer {  // whatever becomes of the message
        ~Closer() { Closers::instance().close(std::move(fd), user); }
        UniqueFd &fd;
        const uid_t user;
    } closer{received.fd, agent.who.uid};
    switch (receive_message(*agent.line, received)) {
        case Got::kNothing: return true;
        case Got::kEnd: return false;
        case Got::kRubbish:
            spdlog::warn("uid {}, pid {} sends what is no message: its channel is closed", agent.who.uid, agent.who.pid);
            return false;
        case Got::kMessage: break;
    }
    AgentHello hello;
    AgentConnection connection;
    if (received.head.type == AgentType::kHello) return !agent.greeted && received.read(hello) && greet(agent, hello, received.fd);
    if (AgentDrained drained; received.head.type == AgentType::kDrained && received.read(drained) && drained.number == drain_number_)
        agent.drain = drained.in_use != 0 ? Agent::kInUse : Agent::kDone;
    if (AgentReloaded reloaded;
        received.head.type == AgentType::kReloaded && received.read(reloaded) && reloaded.number == reload_number_) {
        agent.reload = reloaded.done != 0 ? Agent::kReloaded : Agent::kRefused;
        agent.why = lines_of(reloaded.why);
    }
    if (!agent.greeted) return false;
    switch (received.head.type) {
        case AgentType::kRegister:
        case AgentType::kForget:
        case AgentType::kLookUp:
            if (!received.read(connection)) return false;
            if (rendezvous_ != nullptr) {
                rendezvous_->hear(agent.line, connection, received.fd);
            } else {
                Rendezvous::refuse(*agent.line, connection);
            }
            break;
        default: break;
    }
    return true;  // what a later version says means nothing
}

bool Agents::greet(Agent &agent, const AgentHello &hello, UniqueFd &fd) {
    auto board = BoardView::open(fd);
    if (!board) {
        spdlog::warn("uid {}, pid {}: {}", agent.who.uid, agent.who.pid, board.error().text);
        return false;
    }
    agent.greeted = true;
    agent.own_pid = hello.pid;
    agent.family = (*board)->family();
    agent.program = text_of(hello.program);
    agent.config = text_of(hello.config);
    const auto [family, is_new] = families_.try_emplace(agent.family, Family{std::move(*board), 0, agent.who.uid});
    ++family->second.members;
    departed_.erase(agent.family);
    spdlog::debug("{} (uid {}, pid {}) shows itself", agent.program, agent.who.uid, agent.who.pid);
    tell_drained(agent);  // also that nothing is: another daemon may have told it otherwise
    return true;
}

void Agents::set_drained(const std::set<config::Guid> &guids) {
    const std::scoped_lock lock(mutex_);
    drained_ = guids;
    ++drain_number_;
    for (auto &[fd, agent] : agents_) {
        if (agent.greeted) tell_drained(agent);
    }
}

void Agents::tell_drained(Agent &agent) const {
    AgentDrain message{.number = drain_number_};
    for (const config::Guid &guid : drained_) {
        if (message.count == socket::kDrainsMax) break;
        guid.text().copy(message.guids[message.count++].text, sizeof(socket::GuidText) - 1);
    }
    agent.drain = Agent::kMoving;
    agent.line->insist(&message, sizeof message);
}

void Agents::reload(bool live) {
    const std::scoped_lock lock(mutex_);
    const AgentReload message{.number = ++reload_number_, .live = live ? 1u : 0u};
    for (auto &[fd, agent] : agents_) {
        if (!agent.greeted) continue;
        agent.reload = Agent::kUnanswered;
        agent.line->insist(&message, sizeof message);
    }
}

CountsOfUsers Agents::counts() {
    const std::scoped_lock lock(mutex_);
    CountsOfUsers now = ended_;
    for (const auto &[id, departed] : departed_) now[departed.user].add(departed.counts);
    uint64_t bytes = 0;
    for (auto &[id, family] : families_) {
        if (bytes > kBytesOfVisitMax || !family.board->refresh()) continue;
        bytes += family.board->bytes_read();
        now[family.user].add(Counts::of(*family.board));
        family.board->forget();
    }
    for (auto &[uid, counts] : now) {
        Counts &told = told_[uid];
        told.raise_to(counts);
        counts = told;
    }
    return now;
}

void Agents::visit(Visitor &visitor) {
    const std::scoped_lock lock(mutex_);
    std::map<BoardView::Family, std::vector<const Agent *>> members;
    uint64_t bytes = 0;
    for (const auto &[fd, agent] : agents_) {
        if (!agent.greeted) continue;
        visitor.process(agent);
        members[agent.family].push_back(&agent);
    }
    for (const auto &[family, agents] : members) {
        BoardView &board = *families_.at(family).board;
        const bool wanted = std::ranges::any_of(agents, [&](const Agent *agent) { return visitor.wants(*agent); });
        if (!wanted || bytes > kBytesOfVisitMax || !board.refresh()) continue;
        bytes += board.bytes_read();
        for (uint32_t i = 0; i < board.connections.count(); ++i) {
            constexpr uint64_t kTracked = 3;  // socket::Phase; those before it have no connection
            if (board.connections.number(i, "phase") < kTracked) continue;
            const auto pids = board.connections.numbers(i, "holders");
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
