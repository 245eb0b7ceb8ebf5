#include "control/channels.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace sansock::control {
namespace {

constexpr auto kFullFor = std::chrono::milliseconds(100);

}  // namespace

Channels::Channels(UniqueFd listener, Register &connections, RendezvousCounts &counts)
    : listener_(std::move(listener)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      register_(connections),
      counts_(counts),
      serving_([this] { serve(); }) {}

Channels::~Channels() {
    eventfd_write(stop_.get(), 1);
    serving_.join();
}

size_t Channels::unproven() const {
    const std::scoped_lock lock(mutex_);
    return unproven_.size();
}

int Channels::next_timeout() const {
    if (unproven_.empty()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(unproven_.front().until - Clock::now()).count();
    return static_cast<int>(std::max<int64_t>(left, 0));
}

void Channels::serve() {
    for (const int fd : {listener_.get(), stop_.get()}) {
        epoll_event event{EPOLLIN, {.fd = fd}};
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
    }
    for (;;) {
        epoll_event events[64];
        const int count = epoll_wait(epoll_.get(), events, std::size(events), next_timeout());
        bool some_come = false;
        for (int i = 0; i < count; ++i) {
            const int fd = events[i].data.fd;
            if (fd == stop_.get()) return;
            if (fd == listener_.get()) {
                some_come = true;
            } else if (const auto found = by_socket_.find(fd); found != by_socket_.end()) {
                look(found->second);
            }
        }
        drop_late();
        if (some_come && !accept_all()) std::this_thread::sleep_for(kFullFor);  // or it would be told of those who wait again at once
    }
}

bool Channels::accept_all() {
    for (int turn = 0; turn < kTurns; ++turn) {
        sockaddr_storage name{};
        socklen_t size = sizeof name;
        UniqueFd socket(accept4(listener_.get(), reinterpret_cast<sockaddr *>(&name), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (socket) {
            admit(std::move(socket), Side::of(name).host());
        } else if (errno == EAGAIN) {
            return true;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            log_.warn(fmt::format("channels of other hosts cannot be taken: {}", std::strerror(errno)));
            return false;
        }
    }
    return true;
}

void Channels::admit(UniqueFd socket, const config::Address &from) {
    if (const auto found = of_address_.find(from); found != of_address_.end() && found->second >= kUnprovenOfAddressMax)
        return count(RendezvousCounts::kTooMany, from);
    if (unproven_.size() >= kUnprovenMax) {
        count(RendezvousCounts::kTooMany, unproven_.front().from);
        drop(unproven_.begin());
    }
    const int fd = socket.get();
    epoll_event event{EPOLLIN | EPOLLRDHUP, {.fd = fd}};
    if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return;
    ++of_address_[from];
    const std::scoped_lock lock(mutex_);
    unproven_.push_back({.socket = std::move(socket), .from = from, .until = Clock::now() + kWithin});
    by_socket_[fd] = std::prev(unproven_.end());
}

void Channels::look(Place at) {
    Unproven &unproven = *at;
    const ssize_t got =
        recv(unproven.socket.get(), unproven.shown.data() + unproven.have, unproven.shown.size() - unproven.have, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        count(RendezvousCounts::kSilent, unproven.from);
        return drop(at);
    }
    unproven.have += static_cast<size_t>(got);
    if (unproven.have < unproven.shown.size()) return;
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, unproven.socket.get(), nullptr);  // passed on, it does not end with the descriptor here
    pass_on(unproven);
    drop(at);
}

void Channels::pass_on(Unproven &proven) {
    const socket::ChannelOpening right;
    socket::ChannelOpening shown;
    std::memcpy(&shown, proven.shown.data(), sizeof shown);
    if (shown.magic != right.magic) return count(RendezvousCounts::kMalformed, proven.from);
    Token token;
    std::ranges::copy(shown.token, token.begin());
    const auto shower = register_.show(token, proven.from, Clock::now());
    switch (shower.what) {
        case Register::Shown::kUnknown: return count(RendezvousCounts::kUnknown, proven.from);
        case Register::Shown::kExpired: return count(RendezvousCounts::kExpired, proven.from);
        case Register::Shown::kElsewhere: return count(RendezvousCounts::kElsewhere, proven.from);
        case Register::Shown::kRight: break;
    }
    socket::AgentChannel message;
    std::ranges::copy(token, message.token);
    const bool told = shower.holder->tell(&message, sizeof message, proven.socket.get()) == Line::Told::kYes;
    count(told ? RendezvousCounts::kHandedOver : RendezvousCounts::kHolder, proven.from);
}

void Channels::count(RendezvousCounts::Channel outcome, const config::Address &from) {
    ++counts_.channels[outcome];
    const auto log = [&](const char *why) { log_.warn(fmt::format("a channel of {} is closed: {}", from.text(), why)); };
    switch (outcome) {
        case RendezvousCounts::kUnknown: return log("it shows a token that was not given out, or was used");
        case RendezvousCounts::kExpired: return log("it shows a token that has expired");
        case RendezvousCounts::kElsewhere: return log("it shows a token that was given to another host");
        case RendezvousCounts::kSilent: return log("it shows no token");
        case RendezvousCounts::kMalformed: return log("it does not say what a process would");
        case RendezvousCounts::kTooMany: return log("there are too many that have yet to show a token");
        case RendezvousCounts::kHolder: return log("the process that it is for does not take it");
        case RendezvousCounts::kHandedOver:
        case RendezvousCounts::kChannels: return;
    }
}

void Channels::drop(Place at) {
    by_socket_.erase(at->socket.get());
    if (const auto found = of_address_.find(at->from); --found->second == 0) of_address_.erase(found);
    const std::scoped_lock lock(mutex_);
    unproven_.erase(at);
}

void Channels::drop_late() {
    for (const auto now = Clock::now(); !unproven_.empty() && unproven_.front().until <= now;) {
        count(RendezvousCounts::kSilent, unproven_.front().from);
        drop(unproven_.begin());
    }
}

}  // namespace sansock::control
