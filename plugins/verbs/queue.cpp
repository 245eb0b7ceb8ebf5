#include "queue.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "common/kernel.hpp"
#include "endpoint.hpp"

namespace sansock::verbs {
namespace {

using plugins::kernel;
using sdk::Failure;

constexpr int kBatch = 16;
constexpr std::uint32_t kPlaceBits = 16;

DeviceQueue new_queue(const Device &device, ibv_comp_channel *channel, std::uint32_t depth) {
    // Beside what is asked for, each endpoint has one write of nothing (see Endpoint), and takes two places at least for itself.
    DeviceQueue queue(ibv_create_cq(&device.context(), static_cast<int>(depth + depth / 2 + 1), nullptr, channel, 0));
    if (queue == nullptr) throw Failure::from_errno("a completion queue of the device");
    return queue;
}

std::shared_ptr<const DeviceQueues> new_queues(const Device &device, std::uint32_t depth) {
    CompletionChannel channel = device.new_completion_channel();
    const int fd = channel->fd;
    DeviceQueue sends = new_queue(device, channel.get(), depth);
    DeviceQueue arrivals = new_queue(device, channel.get(), depth);
    return std::shared_ptr<const DeviceQueues>(
        new DeviceQueues{std::move(channel), KeptFromChildren(fd), std::move(sends), std::move(arrivals)});
}

void watch(int epoll, int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
    if (kernel(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event) != 0) throw Failure::from_errno("epoll_ctl");
}

}  // namespace

Queue::Queue(Device &device, std::uint32_t depth)
    : device_(new_queues(device, depth)),
      sends_{device_->sends.get()},
      arrivals_{device_->arrivals.get()},
      bell_(sdk::UniqueFd::checked(static_cast<int>(kernel(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)), "eventfd")),
      epoll_(sdk::UniqueFd::checked(static_cast<int>(kernel(SYS_epoll_create1, EPOLL_CLOEXEC)), "epoll_create1")),
      room_(depth) {
    watch(epoll_.get(), device_->channel->fd);
    watch(epoll_.get(), bell_.get());
}

std::int32_t Queue::poll(sansock_completion *completions, std::uint32_t capacity) noexcept {
    if (is_broken_) return SANSOCK_EIO;
    if (has_news_.load(std::memory_order_relaxed) && has_news_.exchange(false, std::memory_order_acquire)) {
        is_rung_ = true;
        for (const Place &place : places_) {
            if (place.endpoint != nullptr) place.endpoint->hear();
        }
    }
    Report report(completions, capacity);
    for (bool is_dry = false; report.room() > 0;) {
        const std::uint32_t failing = failing_;
        asked_.swap(owing_);
        for (Endpoint *endpoint : asked_) endpoint->report(report);
        asked_.clear();
        if (is_dry || report.room() == 0) break;
        const int wanted = static_cast<int>(std::min<std::uint32_t>(kBatch, report.room()));
        is_dry = true;
        for (Half *half : {&arrivals_, &sends_}) {
            const int count = take(*half, wanted);
            if (count < 0) {
                is_broken_ = true;
                return report.count() > 0 ? static_cast<std::int32_t>(report.count()) : SANSOCK_EIO;
            }
            is_dry = is_dry && count < wanted;
        }
        // What one half has said before the other one told of the failure is not all.
        is_dry = is_dry && failing == failing_;
        if (!is_dry || failing_ == 0) continue;
        failing_ = 0;
        for (const Place &place : places_) {
            if (place.endpoint != nullptr) place.endpoint->has_taken_all();
        }
    }
    return static_cast<std::int32_t>(report.count());
}

int Queue::take(Half &half, int capacity) noexcept {
    std::array<ibv_wc, kBatch> done;
    const int count = ibv_poll_cq(half.queue, capacity, done.data());
    for (int at = 0; at < count; ++at) {
        const ibv_wc &one = done[static_cast<std::size_t>(at)];
        Endpoint *endpoint = endpoint_of(static_cast<std::uint32_t>(one.wr_id >> 32));
        if (endpoint != nullptr) endpoint->completed(one);
    }
    if (count > 0 && std::exchange(half.is_armed, false)) ++notified_;
    return count;
}

bool Queue::arm(Half &half) noexcept {
    if (half.is_armed) return true;
    half.is_armed = ibv_req_notify_cq(half.queue, 0) == 0;
    return half.is_armed;
}

std::int32_t Queue::arm(std::uint32_t what) noexcept {
    if (is_broken_) return SANSOCK_EIO;
    const bool of_sends = what != SANSOCK_NOTIFY_ARRIVALS;
    // Whoever arms again without having polled anything was woken by a notification that came late: its completion had been polled before.
    const bool came_late = arrivals_.is_armed && (sends_.is_armed || !of_sends);
    if (is_rung_ || came_late) {
        is_rung_ = false;
        std::uint64_t rung = 0;
        kernel(SYS_read, bell_.get(), &rung, sizeof rung);
    }
    ibv_cq *queue = nullptr;
    void *context = nullptr;
    while ((notified_ > 0 || came_late) && ibv_get_cq_event(device_->channel.get(), &queue, &context) == 0) {
        ibv_ack_cq_events(queue, 1);
        if (notified_ > 0) {
            --notified_;
        } else {
            (queue == sends_.queue ? sends_ : arrivals_).is_armed = false;
        }
    }
    notified_ = 0;
    is_broken_ = !arm(arrivals_) || (of_sends && !arm(sends_));
    return is_broken_ ? SANSOCK_EIO : SANSOCK_OK;
}

std::uint32_t Queue::attach(Endpoint &endpoint, std::uint32_t depth) {
    if (depth > room_) {
        throw Failure(SANSOCK_ENOSPC, "the completion queue has room for " + std::to_string(room_) + " more requests, the endpoint needs " +
                                          std::to_string(depth));
    }
    auto place = std::ranges::find(places_, nullptr, &Place::endpoint);
    if (place == places_.end()) {
        owing_.reserve(places_.size() + 1);
        asked_.reserve(places_.size() + 1);
        places_.push_back({nullptr, static_cast<std::uint32_t>(places_.size())});
        place = places_.end() - 1;
    } else {
        place->number += 1U << kPlaceBits;
    }
    place->endpoint = &endpoint;
    room_ -= depth;
    return place->number;
}

void Queue::detach(Endpoint &endpoint, std::uint32_t depth) noexcept {
    std::ranges::find(places_, &endpoint, &Place::endpoint)->endpoint = nullptr;
    std::erase(owing_, &endpoint);
    room_ += depth;
}

Endpoint *Queue::endpoint_of(std::uint32_t number) const noexcept {
    const std::uint32_t at = number & ((1U << kPlaceBits) - 1);
    return at < places_.size() && places_[at].number == number ? places_[at].endpoint : nullptr;
}

void Queue::ring() noexcept {
    has_news_.store(true, std::memory_order_release);
    const std::uint64_t one = 1;
    kernel(SYS_write, bell_.get(), &one, sizeof one);
}

}  // namespace sansock::verbs
