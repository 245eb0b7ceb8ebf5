// A completion queue: two of the device's, and a bell for what the connector's thread has to tell.
//
// Sends complete in one of the device's queues and receives in the other, so that who waits for messages can sleep on while sends get done:
// that is what SANSOCK_NOTIFY_ARRIVALS asks for. A notification of solicited messages would do the same with one queue, but siw gives none.
//
// One completion of the device may stand for several requests, for not all sends ask for one. So what a poll has taken from the device and
// had no room for waits with its endpoint.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <sansock/sdk/cpp/completion_queue.hpp>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <vector>

#include "device.hpp"

namespace sansock::verbs {

class Endpoint;

class Queue : public sdk::CompletionQueue<Queue> {
public:
    Queue(Device &device, std::uint32_t depth);

    int notification_fd() const noexcept { return epoll_.get(); }
    std::int32_t poll(sansock_completion *completions, std::uint32_t capacity) noexcept;
    std::int32_t arm(std::uint32_t what) noexcept;

    // For endpoints.
    /// The upper half of the work request ids of the endpoint. Throws sdk::Failure with ENOSPC.
    [[nodiscard]] std::uint32_t attach(Endpoint &endpoint, std::uint32_t depth);
    void detach(Endpoint &endpoint, std::uint32_t depth) noexcept;
    [[nodiscard]] ibv_cq &sends() const noexcept { return *device_->sends; }
    [[nodiscard]] ibv_cq &arrivals() const noexcept { return *device_->arrivals; }
    [[nodiscard]] std::shared_ptr<const DeviceQueues> device_queues() const noexcept { return device_; }
    /// The endpoint has something to report; once until it is asked.
    void owes(Endpoint &endpoint) noexcept { owing_.push_back(&endpoint); }
    void begins_to_fail() noexcept { ++failing_; }

    /// An endpoint's line has news. From any thread.
    void ring() noexcept;

private:
    struct Place {
        Endpoint *endpoint = nullptr;
        std::uint32_t number = 0;  ///< Of the endpoint: completions of one that is gone may still come.
    };

    struct Half {
        ibv_cq *const queue;
        bool is_armed = false;
    };

    [[nodiscard]] int take(Half &half, int capacity) noexcept;
    [[nodiscard]] bool arm(Half &half) noexcept;
    [[nodiscard]] Endpoint *endpoint_of(std::uint32_t number) const noexcept;

    const std::shared_ptr<const DeviceQueues> device_;
    Half sends_, arrivals_;
    sdk::UniqueFd bell_;
    sdk::UniqueFd epoll_;
    std::vector<Place> places_;
    std::vector<Endpoint *> owing_;
    std::vector<Endpoint *> asked_;  ///< Those of `owing_` that are being asked.
    std::uint32_t room_;
    std::uint32_t failing_ = 0;  ///< Endpoints that have failed since the device's queue was last empty.
    std::uint32_t notified_ =
        0;  ///< Notifications that are there, or are about to be: of halves that were armed and have completed something.
    bool is_broken_ = false;
    std::atomic<bool> has_news_{false};
    bool is_rung_ = false;  ///< The bell is to be made quiet.
};

}  // namespace sansock::verbs
