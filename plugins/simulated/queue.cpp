#include "queue.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>

#include "endpoint.hpp"

namespace sansock::simulated {
namespace {

// A caller that polls without ever arming must learn of a dead peer too, but not by a system call for each poll.
constexpr std::uint32_t kEmptyPollsPerLook = 256;

}  // namespace

Queue::Queue(std::uint32_t depth)
    : epoll_(sdk::UniqueFd::checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      timer_(sdk::UniqueFd::checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")),
      room_(depth) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) != 0) throw sdk::Failure::from_errno("epoll_ctl");
}

std::int32_t Queue::poll(sansock_completion *completions, std::uint32_t capacity) noexcept {
    std::uint32_t count = 0;
    const std::size_t endpoints = endpoints_.size();
    for (std::size_t asked = 0; asked < endpoints && count < capacity; ++asked) {
        if (++next_ >= endpoints) next_ = 0;
        count += endpoints_[next_]->poll(completions + count, capacity - count);
    }
    if (count > 0) {
        armed_ = false;
        empty_polls_ = 0;
    } else if (++empty_polls_ == kEmptyPollsPerLook) {
        empty_polls_ = 0;
        take_events();
    }
    return static_cast<std::int32_t>(count);
}

std::int32_t Queue::arm(std::uint32_t) noexcept {
    take_events();
    armed_ = true;
    ++generation_;
    std::uint64_t due_ns = UINT64_MAX;
    for (Endpoint *endpoint : endpoints_) {
        endpoint->arm(generation_);
        due_ns = std::min(due_ns, endpoint->next_due_ns());
    }
    set_timer(due_ns);
    return SANSOCK_OK;
}

void Queue::attach(Endpoint &endpoint, std::uint32_t depth) {
    if (depth > room_) {
        throw sdk::Failure(SANSOCK_ENOSPC, "the completion queue has room for " + std::to_string(room_) +
                                               " more requests, the endpoint needs " + std::to_string(depth));
    }
    endpoints_.push_back(&endpoint);
    room_ -= depth;
}

void Queue::detach(Endpoint &endpoint, std::uint32_t depth) noexcept {
    endpoints_.erase(std::ranges::find(endpoints_, &endpoint));
    room_ += depth;
}

void Queue::watch(Endpoint &endpoint, Watched what, int fd) {
    // Which of an endpoint's descriptors it is rides in the pointer's lowest bit, which alignment leaves free.
    const std::uintptr_t tagged = reinterpret_cast<std::uintptr_t>(&endpoint) | static_cast<std::uintptr_t>(what);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = tagged}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw sdk::Failure::from_errno("epoll_ctl");
}

// Closing is not enough to leave an epoll set: the peer may hold the same open file.
void Queue::unwatch(int fd) noexcept {
    if (fd >= 0) (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Queue::notify_at(std::uint64_t due_ns) noexcept {
    // Never later than it is set to: what it was set for would be missed.
    if (armed_ && due_ns < timer_due_ns_) set_timer(due_ns);
}

void Queue::set_timer(std::uint64_t due_ns) noexcept {
    timer_due_ns_ = due_ns;
    itimerspec when{};  // All zero stops the timer and makes its descriptor quiet.
    if (due_ns != UINT64_MAX) {
        const std::uint64_t at_ns = std::max<std::uint64_t>(due_ns, 1);
        when.it_value.tv_sec = static_cast<time_t>(at_ns / 1'000'000'000);
        when.it_value.tv_nsec = static_cast<long>(at_ns % 1'000'000'000);
    }
    (void)::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void Queue::take_events() noexcept {
    std::array<epoll_event, 32> events;
    int count = 0;
    do {
        count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
        for (int at = 0; at < count; ++at) {
            const std::uintptr_t tagged = events[static_cast<std::size_t>(at)].data.u64;
            auto *endpoint = reinterpret_cast<Endpoint *>(tagged & ~std::uintptr_t{1});
            if (endpoint == nullptr) continue;
            if ((tagged & 1) == static_cast<std::uintptr_t>(Watched::process)) {
                endpoint->peer_died();
            } else {
                endpoint->drain_wake();
            }
        }
        // More than fits is rare; a descriptor that stays readable only makes the next sleep short.
    } while (count == static_cast<int>(events.size()) && ++empty_polls_ % 4 != 0);
}

}  // namespace sansock::simulated
