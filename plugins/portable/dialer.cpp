#include "dialer.hpp"

#include <sansock/sdk/status.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "queue.hpp"

namespace sansock::portable {

Dialer::Dialer(Endpoint &endpoint, Queue &queue, const Settings &settings, Card offer, const Token &own, std::uint64_t now_ns) noexcept
    : endpoint_(endpoint), queue_(queue), settings_(settings), offer_(std::move(offer)), own_(own), status_(SANSOCK_ECONNRESET) {
    (void)dial_next(now_ns);
}

Dialer::~Dialer() { hang_up(); }

Dialer::Result Dialer::step(std::uint64_t now_ns) noexcept {
    for (;;) {
        Progress all = Progress::done;
        for (unsigned way = 0; way < kWays && all != Progress::broken; ++way) {
            const Progress one = advance(calls_[way], way);
            if (one != Progress::done) all = one == Progress::broken || all == Progress::done ? one : all;
        }
        if (all == Progress::done) return Result::connected;
        if (!both_greeted_ && std::ranges::all_of(calls_, &Call::has_greeted)) {
            // Somebody is there, who may not have got the answer yet.
            both_greeted_ = true;
            due_ns_ = now_ns + settings_.timeout_ns;
        }
        if (all == Progress::waits && now_ns < due_ns_) return Result::waits;
        if (all == Progress::waits) status_ = SANSOCK_ETIMEDOUT;
        if (!dial_next(now_ns)) return Result::failed;
    }
}

Dialer::Progress Dialer::advance(Call &call, unsigned way) noexcept {
    const auto broken = [&](std::int32_t status) {
        status_ = status;
        return Progress::broken;
    };
    if (!call.socket) return Progress::broken;
    if (!call.has_greeted) {
        // While it is being connected there is no room for a byte; when it was refused, this says so.
        const Greeting ours = greeting(offer_.token, way);
        const long sent = call.socket.send(&ours, sizeof ours);
        if (sent < 0 && errno == EAGAIN) return Progress::waits;
        if (sent != sizeof ours) return broken(sent < 0 ? status_of(errno) : SANSOCK_EIO);
        call.has_greeted = true;
    }
    if (call.heard_bytes < sizeof call.heard) {
        auto *heard = reinterpret_cast<std::uint8_t *>(&call.heard);
        const long got = call.socket.receive(heard + call.heard_bytes, sizeof call.heard - call.heard_bytes);
        if (got < 0 && errno == EAGAIN) return Progress::waits;
        if (got <= 0) return broken(status_of(got < 0 ? errno : 0));
        call.heard_bytes += static_cast<std::size_t>(got);
        if (call.heard_bytes < sizeof call.heard) return Progress::waits;
    }
    if (way_of(call.heard) != way || !same(call.heard.token, own_)) return broken(SANSOCK_EPROTO);
    return Progress::done;
}

/// Calls the next address that can be called. False: there is none.
bool Dialer::dial_next(std::uint64_t now_ns) noexcept {
    for (;;) {
        hang_up();
        if (next_ == offer_.addresses.size()) return false;
        const Address &address = offer_.addresses[next_++];
        due_ns_ = now_ns + settings_.connect_timeout_ns;
        if (dial(calls_[0], 0, address) && dial(calls_[1], 1, address)) return true;
    }
}

bool Dialer::dial(Call &call, unsigned way, const Address &address) noexcept {
    call.socket = Socket(kernel(SYS_socket, family_of(address), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_storage to;
    const socklen_t length = to_kernel(address, offer_.port, to);
    const bool called = call.socket && queue_.watch(endpoint_, way, call.socket.get()) &&
                        (kernel(SYS_connect, call.socket.get(), &to, length) == 0 || errno == EINPROGRESS);
    if (!called) status_ = status_of(errno);
    return called;
}

void Dialer::hang_up() noexcept {
    for (Call &call : calls_) {
        if (call.socket) {
            queue_.unwatch(call.socket.get());
            call.socket.shut();
        }
        call = {};
    }
    both_greeted_ = false;
}

}  // namespace sansock::portable
