// A completion queue: the list of its endpoints, which are asked in turn, and what wakes a sleeper.
//
// The notification descriptor is an epoll set of the endpoints' sockets, of the lobby while one of them waits there, and of a timer: for
// deadlines, and for what happens at this end while another thread sleeps. The sockets tell each change once (EPOLLET) and are never
// registered anew: what an endpoint has been told it remembers, and messages that wait for their receives keep nobody awake.
#pragma once
#include <atomic>
#include <cstdint>
#include <sansock/sdk/cpp/completion_queue.hpp>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <vector>

namespace sansock::portable {

class Endpoint;

class Queue : public sdk::CompletionQueue<Queue> {
public:
    explicit Queue(std::uint32_t depth);

    int notification_fd() const noexcept { return epoll_.get(); }
    std::int32_t poll(sansock_completion *completions, std::uint32_t capacity) noexcept;
    /// Notifies of every completion, whatever is asked for.
    std::int32_t arm(std::uint32_t what) noexcept;

    // For endpoints.
    void attach(Endpoint &endpoint, std::uint32_t depth);
    void detach(Endpoint &endpoint, std::uint32_t depth) noexcept;
    /// `which` of the endpoint's sockets it is, 0 or 1. False: the kernel has no memory for it, errno says.
    [[nodiscard]] bool watch(Endpoint &endpoint, unsigned which, int fd) noexcept;
    void unwatch(int fd) noexcept;
    /// One more, or one less, of the endpoints waits in the lobby.
    void enter(int lobby) noexcept;
    void leave(int lobby) noexcept;
    /// Something can be polled at that time; 0 is now. Ends the sleep of whoever armed the queue.
    void notify_at(std::uint64_t due_ns) noexcept;

    /// Ends the sleep of whoever armed the queue; from any thread.
    void ring() noexcept;

private:
    void take_events() noexcept;
    void set_timer(std::uint64_t due_ns) noexcept;

    sdk::UniqueFd epoll_;
    sdk::UniqueFd timer_;
    std::vector<Endpoint *> endpoints_;
    std::size_t next_ = 0;  ///< Whose turn it is to be asked first.
    std::uint32_t room_;
    std::uint32_t waiting_ = 0;  ///< Of the endpoints, in the lobby.
    std::uint32_t empty_polls_ = 0;
    bool armed_ = false;
    bool just_armed_ = false;
    std::uint64_t timer_due_ns_ = UINT64_MAX;
    std::atomic<bool> rung_{false};  ///< The timer was set past timer_due_ns_.
};

}  // namespace sansock::portable
