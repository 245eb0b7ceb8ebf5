// A completion queue: the device's, and a bell for what the connector's thread has to tell.
//
// One completion of the device may stand for several requests, for not all sends ask for one. So what a poll has taken from the device and
// had no room for waits with its endpoint.
#pragma once
#include <atomic>
#include <cstdint>
#include <sansock/sdk/cpp/completion_queue.hpp>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <vector>

#include "children.hpp"
#include "device.hpp"

namespace sansock::verbs {

class Endpoint;

class Queue : public sdk::CompletionQueue<Queue> {
public:
    Queue(Device &device, std::uint32_t depth);

    int notification_fd() const noexcept { return epoll_.get(); }
    std::int32_t poll(sansock_completion *completions, std::uint32_t capacity) noexcept;
    std::int32_t arm() noexcept;

    // For endpoints.
    /// The upper half of the work request ids of the endpoint. Throws sdk::Failure with ENOSPC.
    [[nodiscard]] std::uint32_t attach(Endpoint &endpoint, std::uint32_t depth);
    void detach(Endpoint &endpoint, std::uint32_t depth) noexcept;
    [[nodiscard]] ibv_cq &completions() const noexcept { return *queue_; }
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

    [[nodiscard]] Endpoint *endpoint_of(std::uint32_t number) const noexcept;

    const CompletionChannel channel_;
    const KeptFromChildren kept_channel_;
    const DeviceQueue queue_;
    sdk::UniqueFd bell_;
    sdk::UniqueFd epoll_;
    std::vector<Place> places_;
    std::vector<Endpoint *> owing_;
    std::vector<Endpoint *> asked_;  ///< Those of `owing_` that are being asked.
    std::uint32_t room_;
    std::uint32_t failing_ = 0;  ///< Endpoints that have failed since the device's queue was last empty.
    bool is_armed_ = false;
    bool is_broken_ = false;
    std::atomic<bool> has_news_{false};
    bool is_rung_ = false;  ///< The bell is to be made quiet.
};

}  // namespace sansock::verbs
