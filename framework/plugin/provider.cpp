#include "plugin/provider.hpp"

#include "plugin/objects.hpp"

namespace sansock::plugin {

using detail::cannot;

namespace {

/// Which limit no provider can have, or nullptr.
const char *nonsense_in(const sansock_limits &limits) {
    if (limits.reach < SANSOCK_REACH_PROCESS || limits.reach > SANSOCK_REACH_NETWORK) return "reach";
    if (limits.message_bytes_max < 4096) return "message_bytes_max";
    if (limits.inline_bytes_max > limits.message_bytes_max) return "inline_bytes_max";
    if (limits.slice_count_max == 0) return "slice_count_max";
    if (limits.send_depth_max == 0) return "send_depth_max";
    if (limits.receive_depth_max == 0) return "receive_depth_max";
    if (limits.completion_depth_max < 2) return "completion_depth_max";
    if (limits.unreceived != SANSOCK_UNRECEIVED_WAITS && limits.unreceived != SANSOCK_UNRECEIVED_FAILS) {
        return "unreceived";
    }
    if (limits.answerer_sends_first > 1) return "answerer_sends_first";
    if (limits.fork_safe > 1) return "fork_safe";
    return nullptr;
}

bool is_complete(const sansock_provider_ops &ops) {
    return ops.close && ops.get_limits && ops.register_region && ops.deregister_region && ops.create_completion_queue &&
           ops.create_endpoint && ops.get_extension;
}

bool is_complete(const sansock_completion_queue_ops &ops) { return ops.close && ops.notification_fd && ops.poll && ops.arm; }

bool is_complete(const sansock_endpoint_ops &ops) {
    return ops.close && ops.make_offer && ops.accept_offer && ops.take_answer && ops.state && ops.post_send && ops.post_receive;
}

}  // namespace

std::string detail::cannot(const ProviderState &provider, const char *what) { return "plugin '" + provider.name + "' cannot " + what; }

Result<Provider> Provider::adopt(sansock_provider *provider, std::string name, std::shared_ptr<const void> keep_loaded) {
    if (!is_complete(*provider->ops)) return fail(EPROTO, "plugin '" + name + "' lacks a function of a provider");
    auto state = std::make_shared<detail::ProviderState>(provider, std::move(name), std::move(keep_loaded));
    state->limits.size = sizeof state->limits;
    provider->ops->get_limits(provider, &state->limits);
    if (const char *limit = nonsense_in(state->limits)) {
        return fail(EPROTO, "plugin '" + state->name + "' reports an impossible limit: " + limit);
    }
    state->shared_memory =
        static_cast<const sansock_shared_memory_ops *>(provider->ops->get_extension(provider, SANSOCK_EXT_SHARED_MEMORY));
    return Provider(std::move(state));
}

const sansock_limits &Provider::limits() const { return state_->limits; }

sansock_provider *Provider::get() const { return state_->raw; }

const void *Provider::find_extension(const char *id) const { return state_->raw->ops->get_extension(state_->raw, id); }

Result<Region> Provider::register_region(void *base, std::uint64_t length, int memfd, std::uint64_t offset) {
    const sansock_memory memory{.size = sizeof memory, .memfd = memfd, .base = base, .length = length, .offset = offset};
    const std::string what = cannot(*state_, "register memory");
    sansock_error error = empty_error();
    sansock_region *region = nullptr;
    const std::int32_t status = state_->raw->ops->register_region(state_->raw, &memory, &region, &error);
    if (status != SANSOCK_OK) return std::unexpected(plugin_error(status, what, error));
    if (region == nullptr) return fail(EPROTO, what + ": it returned success and no region");
    return Region(std::make_unique<detail::RegionState>(state_, region));
}

Result<CompletionQueue> Provider::create_completion_queue(std::uint32_t depth) {
    const std::string what = cannot(*state_, "create a completion queue");
    sansock_error error = empty_error();
    sansock_completion_queue *queue = nullptr;
    const std::int32_t status = state_->raw->ops->create_completion_queue(state_->raw, depth, &queue, &error);
    if (status != SANSOCK_OK) return std::unexpected(plugin_error(status, what, error));
    if (queue == nullptr || queue->ops == nullptr || !is_complete(*queue->ops)) {
        return fail(EPROTO, what + ": it returned success and no usable queue");
    }
    return CompletionQueue(std::make_shared<detail::QueueState>(state_, queue));
}

Result<Endpoint> Provider::create_endpoint(CompletionQueue &queue, const EndpointOptions &options) {
    const std::string what = cannot(*state_, "create an endpoint");
    if (options.send_depth > state_->limits.send_depth_max || options.receive_depth > state_->limits.receive_depth_max) {
        return fail(EINVAL, what + ": its depth limits are " + std::to_string(state_->limits.send_depth_max) + " sends and " +
                                std::to_string(state_->limits.receive_depth_max) + " receives");
    }
    auto state = std::make_unique<detail::EndpointState>(queue.state_, options);
    const sansock_endpoint_config config{.size = sizeof config,
                                         .send_depth = options.send_depth,
                                         .receive_depth = options.receive_depth,
                                         .wants_shared_memory = options.wants_shared_memory ? 1U : 0U,
                                         .queue = queue.state_->raw,
                                         .context = state->context};
    sansock_error error = empty_error();
    sansock_endpoint *endpoint = nullptr;
    const std::int32_t status = state_->raw->ops->create_endpoint(state_->raw, &config, &endpoint, &error);
    if (status != SANSOCK_OK) return std::unexpected(plugin_error(status, what, error));
    if (endpoint == nullptr || endpoint->ops == nullptr || !is_complete(*endpoint->ops)) {
        return fail(EPROTO, what + ": it returned success and no usable endpoint");
    }
    state->raw = endpoint;
    return Endpoint(std::move(state));
}

Region::Region(std::unique_ptr<detail::RegionState> state) : state_(std::move(state)) {}
Region::Region(Region &&) noexcept = default;
Region &Region::operator=(Region &&) noexcept = default;
Region::~Region() = default;

sansock_region *Region::get() const { return state_->raw; }

}  // namespace sansock::plugin
