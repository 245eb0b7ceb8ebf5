#include "lobby.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "queue.hpp"

namespace sansock::portable {
namespace {

using sdk::Failure;

constexpr int kBacklog = 512;
constexpr int kLetInAtOnce = 64;
constexpr int kRounds = 16;
constexpr std::uint64_t kPauseNs = 50'000'000;
constexpr std::uint64_t kDoor = UINT64_MAX;  ///< Among what is watched; visitors have their places.

}  // namespace

Lobby::Lobby(const sansock_host &host, const Settings &settings) : host_(host), settings_(settings) {}

Lobby::~Lobby() { say_refused(); }

void Lobby::expect(Expected &expected, Card &offer) {
    say_refused();
    bool has_six = false;
    {
        const std::lock_guard lock(mutex_);
        expected_.push_back(&expected);
        try {
            if (!listener_) open();
        } catch (...) {
            expected_.pop_back();
            throw;
        }
        offer.port = port_;
        has_six = has_six_;
    }
    try {
        offer.addresses = settings_.address ? std::vector{*settings_.address} : addresses_of_host(has_six, kAddressesMax);
        if (offer.addresses.empty()) throw Failure(SANSOCK_EIO, "no network interface of this host is up");
    } catch (...) {
        forget(expected);
        throw;
    }
}

void Lobby::open() {
    if (epoll_.get() < 0) epoll_ = sdk::UniqueFd::checked(static_cast<int>(kernel(SYS_epoll_create1, EPOLL_CLOEXEC)), "epoll_create1");
    for (std::uint32_t port = settings_.ports.first; port <= settings_.ports.last; ++port) {
        if (!listen_at(static_cast<std::uint16_t>(port))) continue;
        watch(listener_.get(), kDoor);
        return;
    }
    throw Failure(SANSOCK_ENOMEM, "options.ports: all of " + std::to_string(settings_.ports.first) + "-" +
                                      std::to_string(settings_.ports.last) + " are in use");
}

/// False: the port is in use.
bool Lobby::listen_at(std::uint16_t port) {
    constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const Address wildcard{};
    has_six_ = !settings_.address || family_of(*settings_.address) == AF_INET6;
    Socket socket(kernel(SYS_socket, has_six_ ? AF_INET6 : AF_INET, kType, 0));
    sockaddr_storage at;
    socklen_t length = to_kernel(settings_.address.value_or(wildcard), port, at);
    if (!socket && has_six_ && !settings_.address) {  // This host has no IPv6.
        has_six_ = false;
        socket = Socket(kernel(SYS_socket, AF_INET, kType, 0));
        Address four{};
        four[10] = four[11] = 0xff;
        length = to_kernel(four, port, at);
    }
    if (!socket) throw Failure::from_errno("a listening socket");
    socket.set(SOL_SOCKET, SO_REUSEADDR, 1);
    if (has_six_) socket.set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
    if (kernel(SYS_bind, socket.get(), &at, length) != 0 || kernel(SYS_listen, socket.get(), kBacklog) != 0) {
        if (errno == EADDRINUSE && port != 0) return false;
        throw Failure(SANSOCK_EIO, "listening at port " + std::to_string(port) + ": " + std::strerror(errno));
    }
    length = sizeof at;
    if (kernel(SYS_getsockname, socket.get(), &at, &length) != 0) throw Failure::from_errno("getsockname");
    // The port stands in the same place for both families.
    port_ = ntohs(reinterpret_cast<const sockaddr_in &>(at).sin_port);
    listener_ = std::move(socket);
    return true;
}

void Lobby::close() noexcept {
    for (Visitor &visitor : visitors_) {
        if (visitor.socket) show_out(visitor);
    }
    unwatch(listener_.get());
    listener_.shut();  // A child of fork may have it open still.
    listener_ = {};
    paused_until_ns_ = 0;
    is_crowded_ = false;
}

void Lobby::watch(int fd, std::uint64_t what) noexcept {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = what}};
    kernel(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void Lobby::unwatch(int fd) noexcept { kernel(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void Lobby::forget(Expected &expected) noexcept {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(expected_, &expected);
    if (found == expected_.end()) return;
    expected_.erase(found);
    if (expected_.empty()) close();
}

void Lobby::serve() noexcept {
    const std::lock_guard lock(mutex_);
    if (!listener_) return;
    const std::uint64_t now = now_ns();
    if (paused_until_ns_ != 0 && now >= paused_until_ns_) {
        paused_until_ns_ = 0;
        watch(listener_.get(), kDoor);
    }
    is_crowded_ = true;
    for (int rounds = 0; rounds < kRounds && is_crowded_; ++rounds) {
        std::array<epoll_event, 16> events;
        const long count = kernel(SYS_epoll_pwait, epoll_.get(), events.data(), events.size(), 0, nullptr, 8);
        for (long at = 0; at < count; ++at) {
            const std::uint64_t what = events[static_cast<std::size_t>(at)].data.u64;
            if (what == kDoor) {
                let_in();
            } else if (visitors_[what].socket) {
                listen_to(visitors_[what]);
            }
        }
        is_crowded_ = count > 0;
    }
    for (Visitor &visitor : visitors_) {
        if (visitor.socket && now >= visitor.due_ns) show_out(visitor);
    }
}

void Lobby::let_in() noexcept {
    for (int count = 0; count < kLetInAtOnce; ++count) {
        Socket socket(kernel(SYS_accept4, listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!socket) {
            if (errno == EAGAIN || errno == ECONNABORTED) return;
            // One that waits for a descriptor to become free, or for what else there may be, would keep everybody awake.
            unwatch(listener_.get());
            paused_until_ns_ = now_ns() + kPauseNs;
            return;
        }
        const auto earlier = [](const Visitor &one, const Visitor &other) {
            return (one.socket ? one.due_ns : 0) < (other.socket ? other.due_ns : 0);
        };
        Visitor &visitor = *std::ranges::min_element(visitors_, earlier);
        if (visitor.socket) show_out(visitor);
        visitor.socket = std::move(socket);
        visitor.due_ns = now_ns() + settings_.connect_timeout_ns;
        visitor.said_bytes = 0;
        watch(visitor.socket.get(), static_cast<std::uint64_t>(&visitor - visitors_.data()));
        listen_to(visitor);
    }
}

void Lobby::listen_to(Visitor &visitor) noexcept {
    auto *said = reinterpret_cast<std::uint8_t *>(&visitor.said);
    const long got = visitor.socket.receive(said + visitor.said_bytes, sizeof visitor.said - visitor.said_bytes);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return show_out(visitor);
    visitor.said_bytes += static_cast<std::size_t>(got);
    if (visitor.said_bytes < sizeof visitor.said) return;
    const auto way = way_of(visitor.said);
    if (!way) return show_out(visitor);
    show_in(visitor, *way);
}

void Lobby::show_in(Visitor &visitor, unsigned way) noexcept {
    Expected *host = nullptr;
    for (Expected *expected : expected_) {
        if (same(expected->token, visitor.said.token) && !expected->arrived[way]) host = expected;
    }
    if (host == nullptr) return show_out(visitor);
    unwatch(visitor.socket.get());
    host->arrived[way] = std::move(visitor.socket);
    host->count.fetch_add(1, std::memory_order_release);
    host->queue->ring();
}

void Lobby::show_out(Visitor &visitor) noexcept {
    unwatch(visitor.socket.get());
    visitor.socket.shut();
    visitor.socket = {};
    ++refused_;
}

std::uint64_t Lobby::next_due_ns() noexcept {
    const std::lock_guard lock(mutex_);
    if (is_crowded_) return 0;
    std::uint64_t due_ns = paused_until_ns_ != 0 ? paused_until_ns_ : UINT64_MAX;
    for (const Visitor &visitor : visitors_) {
        if (visitor.socket) due_ns = std::min(due_ns, visitor.due_ns);
    }
    return due_ns;
}

/// Not where connections are made, which is no place to write to a log.
void Lobby::say_refused() noexcept {
    std::uint64_t count = 0;
    {
        const std::lock_guard lock(mutex_);
        count = refused_ - refused_said_;
        refused_said_ = refused_;
    }
    if (count == 0) return;
    char text[96];
    (void)std::snprintf(text, sizeof text, "connections closed that no endpoint had been waiting for: %llu",
                        static_cast<unsigned long long>(count));
    host_.ops->log(&host_, SANSOCK_LOG_WARNING, text);
}

}  // namespace sansock::portable
