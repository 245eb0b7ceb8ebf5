// One endpoint of a plugin and its completion queue, as the socket layer uses them.
#pragma once
#include <unistd.h>

#include <memory>
#include <vector>

#include "plugin/provider.hpp"
#include "socket/runtime.hpp"

namespace sansock::runtime {

/// The completion queues of one provider. An endpoint that carries messages has one to itself, which its courier sleeps on. Where memory
/// is the path nothing is ever posted: those endpoints share, so that a connection costs no descriptors for as long as it lives.
class Queues {
public:
    using Queue = std::shared_ptr<plugin::CompletionQueue>;
    static Result<Queue> make(plugin::Provider &provider, uint32_t depth);
    Result<Queue> take_shared(plugin::Provider &provider);

private:
    std::vector<std::weak_ptr<plugin::CompletionQueue>> shared_;
};

class Session final : public path::Endpoint {
public:
    static Result<std::unique_ptr<Session>> open(plugin::Provider &provider, Queues &queues, const socket::Choice &choice);

    [[nodiscard]] Result<void> offer(socket::OfferBytes &bytes, socket::OfferFds &fds);
    [[nodiscard]] Result<void> accept(const socket::OfferBytes &offer, const socket::OfferFds &fds, socket::OfferBytes &answer,
                                      socket::OfferFds &answer_fds);
    [[nodiscard]] Result<void> take_answer(const socket::OfferBytes &answer, const socket::OfferFds &fds);
    [[nodiscard]] bool shares_memory() const { return endpoint_.shares_memory(); }
    [[nodiscard]] int notification_fd() const { return queue_->notification_fd(); }
    /// A child of fork has a copy of this, which is not its to use, nor to close.
    [[nodiscard]] bool is_ours() const { return pid_ == getpid(); }

    int32_t post_send(std::span<const sansock_slice> slices, uint64_t token) noexcept override {
        return endpoint_.post_send(slices, token);
    }
    int32_t post_receive(std::span<const sansock_slice> slices, uint64_t token) noexcept override {
        return endpoint_.post_receive(slices, token);
    }
    int32_t poll(std::span<sansock_completion> completions) noexcept override;
    int32_t arm(uint32_t what) noexcept override;

    Session *next_retired = nullptr;  ///< Among those that wait to be closed.

private:
    Session(Queues::Queue queue, plugin::Endpoint endpoint) : queue_(std::move(queue)), endpoint_(std::move(endpoint)) {}

    Queues::Queue queue_;
    plugin::Endpoint endpoint_;
    const pid_t pid_ = getpid();
};

}  // namespace sansock::runtime
