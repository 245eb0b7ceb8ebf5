#include <algorithm>

#include "plugin/objects.hpp"

namespace sansock::plugin {

std::uint64_t detail::QueueState::attach(EndpointState &endpoint) {
    auto place = std::ranges::find(attached_, nullptr, &Attached::endpoint);
    if (place == attached_.end()) place = attached_.insert(place, Attached{});
    place->endpoint = &endpoint;
    ++place->generation;
    return (std::uint64_t{place->generation} << 32) | static_cast<std::uint64_t>(place - attached_.begin());
}

void detail::QueueState::detach(std::uint64_t context) { attached_[static_cast<std::uint32_t>(context)].endpoint = nullptr; }

const char *detail::QueueState::accept(sansock_completion &completion) {
    const auto index = static_cast<std::uint32_t>(completion.context);
    if (index >= attached_.size() || attached_[index].endpoint == nullptr || attached_[index].generation != completion.context >> 32) {
        return "an endpoint that does not exist";
    }
    EndpointState &endpoint = *attached_[index].endpoint;
    if (completion.status > SANSOCK_OK) return "a status that does not exist";
    if (endpoint.reported_failed) return "something on an endpoint that failed before";
    completion.context = endpoint.user_context;
    switch (completion.kind) {
        case SANSOCK_COMPLETION_SEND:
        case SANSOCK_COMPLETION_RECEIVE:
            if (!endpoint.in_flight.take(completion.token, completion.kind, completion.length, completion.token)) {
                return "a request that is not in flight, or more bytes than it was given room for";
            }
            return nullptr;
        case SANSOCK_COMPLETION_STATE:
            if (completion.status != SANSOCK_OK) {
                endpoint.reported_failed = true;
            } else if (std::exchange(endpoint.reported_established, true)) {
                return "an endpoint as established twice";
            }
            return nullptr;
        default: return "a kind that does not exist";
    }
}

int CompletionQueue::notification_fd() const { return state_->raw->ops->notification_fd(state_->raw); }

Result<std::size_t> CompletionQueue::poll(std::span<sansock_completion> completions) {
    const auto lied = [&](const std::string &what) {
        return fail(EPROTO, "plugin '" + state_->provider->name + "' breaks the contract: it completed " + what);
    };
    const std::int32_t count = state_->raw->ops->poll(state_->raw, completions.data(), static_cast<std::uint32_t>(completions.size()));
    if (count < 0) {
        return fail(-count, detail::cannot(*state_->provider, "poll: ") + sansock_status_name(count));
    }
    const auto taken = static_cast<std::size_t>(count);
    if (taken > completions.size()) return lied("more than it was given room for");
    for (sansock_completion &completion : completions.first(taken)) {
        if (const char *lie = state_->accept(completion)) return lied(lie);
    }
    return taken;
}

Result<void> CompletionQueue::arm(std::uint32_t what) {
    const std::int32_t status = state_->raw->ops->arm(state_->raw, what);
    if (status == SANSOCK_OK) return {};
    return fail(status < 0 ? -status : EPROTO, detail::cannot(*state_->provider, "arm its queue: ") + sansock_status_name(status));
}

}  // namespace sansock::plugin
