// A completion queue: the list of its endpoints, which are asked in turn, and what wakes a sleeper.
//
// The notification descriptor is an epoll set of the endpoints' wake sockets, the peers' processes, and a timer: for
// what becomes due by itself in a simulation, and for what happens at this end while another thread sleeps.
#pragma once
#include <cstdint>
#include <sansock/sdk/cpp/completion_queue.hpp>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <vector>

namespace sansock::simulated {

class Endpoint;

class Queue : public sdk::CompletionQueue<Queue> {
public:
    explicit Queue(std::uint32_t depth);

    int notification_fd() const noexcept { return epoll_.get(); }
    std::int32_t poll(sansock_completion *completions, std::uint32_t capacity) noexcept;
    /// Notifies of every completion, whatever is asked for.
    std::int32_t arm(std::uint32_t what) noexcept;

    // For endpoints.
    enum class Watched : std::uintptr_t { wake = 0, process = 1 };
    void attach(Endpoint &endpoint, std::uint32_t depth);
    void detach(Endpoint &endpoint, std::uint32_t depth) noexcept;
    void watch(Endpoint &endpoint, Watched what, int fd);
    void unwatch(int fd) noexcept;
    /// Something can be polled at that time; 0 is now. Ends the sleep of whoever armed the queue.
    void notify_at(std::uint64_t due_ns) noexcept;
    [[nodiscard]] bool is_armed() const noexcept { return armed_; }
    [[nodiscard]] std::uint64_t generation() const noexcept { return generation_; }

private:
    void take_events() noexcept;
    void set_timer(std::uint64_t due_ns) noexcept;

    sdk::UniqueFd epoll_;
    sdk::UniqueFd timer_;
    std::vector<Endpoint *> endpoints_;
    std::size_t next_ = 0;  ///< Whose turn it is to be asked first.
    std::uint32_t room_;
    std::uint32_t empty_polls_ = 0;
    bool armed_ = false;
    std::uint64_t generation_ = 0;
    std::uint64_t timer_due_ns_ = UINT64_MAX;
};

}  // namespace sansock::simulated
