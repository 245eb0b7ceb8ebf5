#include "endpoint.hpp"

#include <algorithm>

#include "provider.hpp"
#include "queue.hpp"

namespace sansock::fault {

using sdk::Failure;

Endpoint::Endpoint(Provider &provider, const sansock_endpoint_config &config)
    : provider_(provider), queue_(*static_cast<Queue *>(config.queue)), config_(config) {
    sends_.reserve(config.send_depth);
    receives_.reserve(config.receive_depth);
    sansock_endpoint_config wrapped = config;
    wrapped.size = sizeof wrapped;
    wrapped.wants_shared_memory = 0;  // Faults happen to messages.
    wrapped.queue = queue_.inner();
    wrapped.context = reinterpret_cast<std::uintptr_t>(this);
    provider_.control(
        [&](sansock_provider *inner, sansock_error *error) { return inner->ops->create_endpoint(inner, &wrapped, &inner_, error); });
    queue_.attach(*this);
}

Endpoint::~Endpoint() {
    close_inner();
    queue_.detach(*this);
}

void Endpoint::close_inner() noexcept {
    if (inner_ == nullptr) return;
    const auto lock = provider_.lock();
    inner_->ops->close(inner_);
    inner_ = nullptr;
}

void Endpoint::make_offer(sansock_offer &offer) {
    provider_.check(Call::make_offer);
    provider_.control(
        [&](sansock_provider *, sansock_error *error) { return inner_ ? inner_->ops->make_offer(inner_, &offer, error) : SANSOCK_EINVAL; });
}

void Endpoint::accept_offer(const sansock_offer &offer, sansock_answer &answer) {
    try {
        provider_.check(Call::accept_offer);
    } catch (const Failure &failure) {
        fail(failure.status());
        throw;
    }
    provider_.control([&](sansock_provider *, sansock_error *error) {
        return inner_ ? inner_->ops->accept_offer(inner_, &offer, &answer, error) : SANSOCK_EINVAL;
    });
}

void Endpoint::take_answer(const sansock_answer &answer) {
    try {
        provider_.check(Call::take_answer);
    } catch (const Failure &failure) {
        fail(failure.status());
        throw;
    }
    provider_.control([&](sansock_provider *, sansock_error *error) {
        return inner_ ? inner_->ops->take_answer(inner_, &answer, error) : SANSOCK_EINVAL;
    });
}

std::int32_t Endpoint::state() const noexcept { return inner_ != nullptr ? inner_->ops->state(inner_) : SANSOCK_ENDPOINT_FAILED; }

std::int32_t Endpoint::post_send(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    if (inner_ == nullptr) return SANSOCK_ENOTCONN;
    return post(Call::post_send, inner_->ops->post_send, sends_, config_.send_depth, slices, slice_count, token);
}

std::int32_t Endpoint::post_receive(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    if (inner_ == nullptr) return SANSOCK_ENOTCONN;
    return post(Call::post_receive, inner_->ops->post_receive, receives_, config_.receive_depth, slices, slice_count, token);
}

std::int32_t Endpoint::post(Call call, Post inner_post, std::vector<std::uint64_t> &tokens, std::uint32_t depth,
                            const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    switch (const Verdict verdict = provider_.judge(call); verdict.effect) {
        case Effect::none: break;
        case Effect::error: return verdict.status;
        case Effect::fail: fail(verdict.status); return SANSOCK_ENOTCONN;
        case Effect::silence: silence();
    }
    if (silent_) {
        if (tokens.size() == depth) return SANSOCK_EAGAIN;
    } else if (const std::int32_t status = inner_post(inner_, slices, slice_count, token); status != SANSOCK_OK) {
        return status;
    }
    tokens.push_back(token);
    return SANSOCK_OK;
}

void Endpoint::fail(std::int32_t status) noexcept {
    if (inner_ == nullptr) return;
    failure_ = status;
    owes_failed_ = true;
    close_inner();
    queue_.notify();
}

void Endpoint::forget(std::uint32_t kind, std::uint64_t token) noexcept {
    std::vector<std::uint64_t> &tokens = kind == SANSOCK_COMPLETION_SEND ? sends_ : receives_;
    tokens.erase(std::ranges::find(tokens, token));
}

bool Endpoint::pass_on(sansock_completion &completion) noexcept {
    if (silent_ || inner_ == nullptr) return false;
    completion.context = config_.context;
    if (completion.kind == SANSOCK_COMPLETION_STATE) return true;
    const Verdict verdict = provider_.judge(Call::completion);
    if (verdict.effect == Effect::silence) {
        silence();
        return false;
    }
    if (verdict.effect == Effect::fail) {
        fail(verdict.status);  // Which gives the request back with the rest.
        return false;
    }
    forget(completion.kind, completion.token);
    if (verdict.effect == Effect::error) {
        completion.status = verdict.status;
        completion.length = 0;
        fail(verdict.status);
    }
    return true;
}

std::uint32_t Endpoint::flush(sansock_completion *completions, std::uint32_t capacity) noexcept {
    if (!owes_failed_) return 0;
    std::uint32_t count = 0;
    const auto give_back = [&](std::vector<std::uint64_t> &tokens, std::uint32_t kind) {
        std::size_t given = 0;
        for (; given < tokens.size() && count < capacity; ++given) {
            completions[count++] = {tokens[given], config_.context, 0, SANSOCK_ECANCELED, kind};
        }
        tokens.erase(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(given));
    };
    give_back(sends_, SANSOCK_COMPLETION_SEND);
    give_back(receives_, SANSOCK_COMPLETION_RECEIVE);
    if (count < capacity) {
        completions[count++] = {0, config_.context, 0, failure_, SANSOCK_COMPLETION_STATE};
        owes_failed_ = false;
    }
    return count;
}

}  // namespace sansock::fault
