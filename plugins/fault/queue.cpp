#include "queue.hpp"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "endpoint.hpp"
#include "provider.hpp"

namespace sansock::fault {

Queue::Queue(Provider &provider, std::uint32_t depth)
    : provider_(provider),
      epoll_(sdk::UniqueFd::checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      event_(sdk::UniqueFd::checked(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
    watch(event_.get());
    provider_.control(
        [&](sansock_provider *inner, sansock_error *error) { return inner->ops->create_completion_queue(inner, depth, &inner_, error); });
    try {
        watch(inner_->ops->notification_fd(inner_));
    } catch (...) {
        inner_->ops->close(inner_);
        throw;
    }
}

Queue::~Queue() {
    const auto lock = provider_.lock();
    inner_->ops->close(inner_);
}

void Queue::watch(int fd) {
    epoll_event event{.events = EPOLLIN, .data = {}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw sdk::Failure::from_errno("epoll_ctl");
}

void Queue::detach(Endpoint &endpoint) noexcept { endpoints_.erase(std::ranges::find(endpoints_, &endpoint)); }

void Queue::notify() noexcept { (void)::eventfd_write(event_.get(), 1); }

std::int32_t Queue::poll(sansock_completion *completions, std::uint32_t capacity) noexcept {
    if (const Verdict verdict = provider_.judge(Call::poll); verdict.effect != Effect::none) return verdict.status;
    std::uint32_t kept = 0;
    // Until the wrapped queue has nothing more: 0 is an answer that the caller may go to sleep on.
    for (std::int32_t asked = 1, got = 1; kept == 0 && capacity > 0 && got == asked;) {
        asked = static_cast<std::int32_t>(capacity);
        got = inner_->ops->poll(inner_, completions, capacity);
        if (got < 0) return got;
        for (std::int32_t at = 0; at < got; ++at) {
            sansock_completion completion = completions[at];
            auto *endpoint = reinterpret_cast<Endpoint *>(static_cast<std::uintptr_t>(completion.context));
            if (endpoint->pass_on(completion)) completions[kept++] = completion;
        }
    }
    for (Endpoint *endpoint : endpoints_) kept += endpoint->flush(completions + kept, capacity - kept);
    return static_cast<std::int32_t>(kept);
}

std::int32_t Queue::arm(std::uint32_t what) noexcept {
    if (const Verdict verdict = provider_.judge(Call::arm); verdict.effect != Effect::none) return verdict.status;
    eventfd_t drained = 0;
    (void)::eventfd_read(event_.get(), &drained);
    return inner_->ops->arm(inner_, what);
}

}  // namespace sansock::fault
