#include "queue.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>

#include "endpoint.hpp"
#include "socket.hpp"

namespace sansock::portable {
namespace {

// A caller that polls without ever arming must learn of a broken connection too, but not by a system call more for each poll.
constexpr std::uint32_t kEmptyPollsPerLook = 256;

void set(int timer, std::uint64_t due_ns) noexcept {
    itimerspec when{};  // All zero stops the timer and makes its descriptor quiet.
    if (due_ns != UINT64_MAX) {
        const std::uint64_t at_ns = std::max<std::uint64_t>(due_ns, 1);
        when.it_value.tv_sec = static_cast<time_t>(at_ns / 1'000'000'000);
        when.it_value.tv_nsec = static_cast<long>(at_ns % 1'000'000'000);
    }
    (void)::timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, nullptr);
}

}  // namespace

Queue::Queue(std::uint32_t depth)
    : epoll_(sdk::UniqueFd::checked(static_cast<int>(kernel(SYS_epoll_create1, EPOLL_CLOEXEC)), "epoll_create1")),
      timer_(sdk::UniqueFd::checked(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")),
      room_(depth) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
    if (kernel(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) != 0) throw sdk::Failure::from_errno("epoll_ctl");
}

std::int32_t Queue::poll(sansock_completion *completions, std::uint32_t capacity) noexcept {
    const std::size_t endpoints = endpoints_.size();
    // To ask the one socket itself is one call, to ask the set for many is one, and right after arm() both have just been done.
    const bool looks_itself = endpoints == 1 && !just_armed_;
    if ((endpoints > 1 && !just_armed_) || empty_polls_ >= kEmptyPollsPerLook) take_events();
    just_armed_ = false;
    std::uint32_t count = 0;
    for (std::size_t asked = 0; asked < endpoints && count < capacity; ++asked) {
        if (++next_ >= endpoints) next_ = 0;
        count += endpoints_[next_]->poll(completions + count, capacity - count, looks_itself);
    }
    ++empty_polls_;
    if (count > 0) {
        armed_ = false;
        empty_polls_ = 0;
    }
    return static_cast<std::int32_t>(count);
}

std::int32_t Queue::arm(std::uint32_t) noexcept {
    take_events();
    // Whoever arms again without having polled anything was woken by a ring that came late.
    const bool came_late = armed_;
    armed_ = just_armed_ = true;
    std::uint64_t due_ns = UINT64_MAX;
    for (const Endpoint *endpoint : endpoints_) due_ns = std::min(due_ns, endpoint->next_due_ns());
    // First that it was rung, then the timer: what rings in between is found by the poll that follows.
    const bool rung = rung_.exchange(false, std::memory_order_acq_rel);
    if (rung || came_late || due_ns != timer_due_ns_ || due_ns != UINT64_MAX) set_timer(due_ns);
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

bool Queue::watch(Endpoint &endpoint, unsigned which, int fd) noexcept {
    // Which of an endpoint's sockets it is rides in the pointer's lowest bit, which alignment leaves free.
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                      .data = {.u64 = reinterpret_cast<std::uintptr_t>(&endpoint) | which}};
    return kernel(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

// Closing is not enough to leave an epoll set: a child of fork may hold the same open file.
void Queue::unwatch(int fd) noexcept {
    if (fd >= 0) kernel(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Queue::enter(int lobby) noexcept {
    if (waiting_++ > 0) return;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
    kernel(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_ADD, lobby, &event);
}

void Queue::leave(int lobby) noexcept {
    if (--waiting_ == 0) unwatch(lobby);
}

void Queue::notify_at(std::uint64_t due_ns) noexcept {
    // Never later than it is set to: what it was set for would be missed.
    if (armed_ && due_ns < timer_due_ns_) set_timer(due_ns);
}

void Queue::ring() noexcept {
    rung_.store(true, std::memory_order_release);
    set(timer_.get(), 0);
}

void Queue::set_timer(std::uint64_t due_ns) noexcept {
    timer_due_ns_ = due_ns;
    set(timer_.get(), due_ns);
}

void Queue::take_events() noexcept {
    empty_polls_ = 0;
    std::array<epoll_event, 32> events;
    for (std::size_t rounds = endpoints_.size() / 8 + 4; rounds > 0; --rounds) {
        const long count = kernel(SYS_epoll_pwait, epoll_.get(), events.data(), events.size(), 0, nullptr, 8);
        for (long at = 0; at < count; ++at) {
            const epoll_event &event = events[static_cast<std::size_t>(at)];
            auto *endpoint = reinterpret_cast<Endpoint *>(static_cast<std::uintptr_t>(event.data.u64) & ~std::uintptr_t{1});
            if (endpoint != nullptr) endpoint->happened(event.data.u64 & 1, event.events);
        }
        if (count < static_cast<long>(events.size())) return;
    }  // Each has been asked once; peers that never stop must not keep us here.
}

}  // namespace sansock::portable
