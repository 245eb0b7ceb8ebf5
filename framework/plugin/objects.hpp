// What stands behind the objects of plugin/provider.hpp. Each holds on to what it depends on.
#pragma once
#include <sansock/sdk/ext/shared_memory.h>

#include "plugin/in_flight.hpp"
#include "plugin/library.hpp"
#include "plugin/provider.hpp"

namespace sansock::plugin::detail {

struct ProviderState {
    ProviderState(sansock_provider *opened, std::string plugin, std::shared_ptr<const void> loaded)
        : raw(opened), name(std::move(plugin)), keep_loaded(std::move(loaded)) {}
    ProviderState(const ProviderState &) = delete;
    ProviderState &operator=(const ProviderState &) = delete;
    ~ProviderState() { raw->ops->close(raw); }

    sansock_provider *const raw;
    const std::string name;
    const std::shared_ptr<const void> keep_loaded;
    sansock_limits limits{};
    const sansock_shared_memory_ops *shared_memory = nullptr;
};

struct RegionState {
    RegionState(std::shared_ptr<ProviderState> owner, sansock_region *made) : provider(std::move(owner)), raw(made) {}
    RegionState(const RegionState &) = delete;
    RegionState &operator=(const RegionState &) = delete;
    ~RegionState() { provider->raw->ops->deregister_region(provider->raw, raw); }

    const std::shared_ptr<ProviderState> provider;
    sansock_region *const raw;
};

struct QueueState {
    QueueState(std::shared_ptr<ProviderState> owner, sansock_completion_queue *made) : provider(std::move(owner)), raw(made) {}
    QueueState(const QueueState &) = delete;
    QueueState &operator=(const QueueState &) = delete;
    ~QueueState() { raw->ops->close(raw); }

    /// Gives the endpoint a context of its own, so that a completion for a closed endpoint is told from one for its
    /// successor.
    std::uint64_t attach(EndpointState &endpoint);
    void detach(std::uint64_t context);
    /// Puts the caller's token and context in, or says what is wrong with the completion.
    const char *accept(sansock_completion &completion);

    const std::shared_ptr<ProviderState> provider;
    sansock_completion_queue *const raw;

private:
    struct Attached {
        EndpointState *endpoint = nullptr;
        std::uint32_t generation = 0;
    };
    std::vector<Attached> attached_;
};

struct EndpointState {
    EndpointState(std::shared_ptr<QueueState> of, const EndpointOptions &options)
        : queue(std::move(of)),
          user_context(options.context),
          in_flight(options.send_depth, options.receive_depth),
          context(queue->attach(*this)) {}
    EndpointState(const EndpointState &) = delete;
    EndpointState &operator=(const EndpointState &) = delete;
    ~EndpointState() {
        if (raw != nullptr) raw->ops->close(raw);
        queue->detach(context);
    }

    const std::shared_ptr<QueueState> queue;
    const std::uint64_t user_context;
    InFlight in_flight;
    const std::uint64_t context;  ///< What the plugin is told.
    sansock_endpoint *raw = nullptr;
    bool reported_established = false;
    bool reported_failed = false;
};

/// "plugin 'name' cannot ..." for error texts.
[[nodiscard]] std::string cannot(const ProviderState &provider, const char *what);

}  // namespace sansock::plugin::detail
