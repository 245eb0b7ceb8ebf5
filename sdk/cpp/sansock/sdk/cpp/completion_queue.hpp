// Write a completion queue as a class.
//
//     class MyQueue : public sansock::sdk::CompletionQueue<MyQueue> {
//         int notification_fd() const noexcept;
//         std::int32_t poll(sansock_completion *, std::uint32_t capacity) noexcept;
//         std::int32_t arm(std::uint32_t what) noexcept;
//     };
//
// All public, and all noexcept: the compiler insists. close() of the contract deletes the object, so it is made by new.
#pragma once
#include <sansock/sdk/completion.h>

#include <cstdint>

namespace sansock::sdk {

template <class Self>
class CompletionQueue : public sansock_completion_queue {
protected:
    CompletionQueue() noexcept : sansock_completion_queue{&kOps} {}
    ~CompletionQueue() = default;
    CompletionQueue(const CompletionQueue &) = delete;
    CompletionQueue &operator=(const CompletionQueue &) = delete;

private:
    static Self &self(sansock_completion_queue *queue) noexcept { return *static_cast<Self *>(queue); }

    static void close(sansock_completion_queue *queue) { delete &self(queue); }
    static std::int32_t notification_fd(sansock_completion_queue *queue) {
        static_assert(noexcept(self(queue).Self::notification_fd()));
        return self(queue).Self::notification_fd();
    }
    static std::int32_t poll(sansock_completion_queue *queue, sansock_completion *completions, std::uint32_t capacity) {
        static_assert(noexcept(self(queue).Self::poll(completions, capacity)));
        return self(queue).Self::poll(completions, capacity);
    }
    static std::int32_t arm(sansock_completion_queue *queue, std::uint32_t what) {
        static_assert(noexcept(self(queue).Self::arm(what)));
        return self(queue).Self::arm(what);
    }

    static constexpr sansock_completion_queue_ops kOps{close, notification_fd, poll, arm};
};

}  // namespace sansock::sdk
