// A completion queue around another one: sorts out what faults have made invalid and adds what they have caused.
//
// The notification descriptor is an epoll set of the wrapped one and of an event of its own, for faults that happen at
// this end while another thread sleeps.
#pragma once
#include <sansock/sdk/cpp/completion_queue.hpp>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <vector>

namespace sansock::fault {

class Endpoint;
class Provider;

class Queue : public sdk::CompletionQueue<Queue> {
public:
    Queue(Provider &provider, std::uint32_t depth);
    ~Queue();

    int notification_fd() const noexcept { return epoll_.get(); }
    std::int32_t poll(sansock_completion *completions, std::uint32_t capacity) noexcept;
    std::int32_t arm(std::uint32_t what) noexcept;

    // For endpoints.
    [[nodiscard]] sansock_completion_queue *inner() const { return inner_; }
    void attach(Endpoint &endpoint) { endpoints_.push_back(&endpoint); }
    void detach(Endpoint &endpoint) noexcept;
    void notify() noexcept;

private:
    void watch(int fd);

    Provider &provider_;
    sdk::UniqueFd epoll_;
    sdk::UniqueFd event_;
    sansock_completion_queue *inner_ = nullptr;
    std::vector<Endpoint *> endpoints_;
};

}  // namespace sansock::fault
