// A plugin's objects as C++ objects that close themselves, and a guard against plugins that break the contract.
//
// What a plugin returns is checked before it is believed: counts against the capacity that was given, statuses against
// those that exist, completions against what was posted. A plugin that breaks its word gives an error (EPROTO) on the
// object at hand, never undefined behaviour in the framework. The checks cost one table look-up per completion and no
// allocation.
//
// The objects hold on to what they depend on (an endpoint to its queue, a queue to its provider, a provider to its
// loaded plugin), so they may be destroyed in any order. They take no locks: sansock/sdk/threads.h says who may call
// what at the same time, and destroying an object counts as a [control] call.
#pragma once
#include <sansock/sdk/entry.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace sansock::plugin {

namespace detail {
struct ProviderState;
struct QueueState;
struct EndpointState;
struct RegionState;
}  // namespace detail

/// A descriptor that was made where plugins make theirs. The preload library sees that by the names of libc, keeps the number from the
/// application, and must see its end as well.
struct NamedCloser {
    void operator()(int fd) const;
};
using OfferFd = BasicFd<NamedCloser>;

/// An offer or an answer: what the provider wants carried to the peer.
struct Offer {
    std::vector<std::uint8_t> bytes;
    std::vector<OfferFd> fds;
};

/// Registered memory, deregistered at the end of its life.
class Region {
public:
    Region(Region &&) noexcept;
    Region &operator=(Region &&) noexcept;
    ~Region();

    /// What a slice in this memory names.
    [[nodiscard]] sansock_region *get() const;

private:
    friend class Provider;
    explicit Region(std::unique_ptr<detail::RegionState> state);
    std::unique_ptr<detail::RegionState> state_;
};

/// One end of a message path.
class Endpoint {
public:
    Endpoint(Endpoint &&) noexcept;
    Endpoint &operator=(Endpoint &&) noexcept;
    ~Endpoint();

    /// See sansock/sdk/endpoint.h for what each does; errors carry the plugin's reason.
    [[nodiscard]] Result<Offer> make_offer();
    [[nodiscard]] Result<Offer> accept_offer(const Offer &offer);
    [[nodiscard]] Result<void> take_answer(const Offer &answer);

    /// SANSOCK_ENDPOINT_*; a plugin that answers anything else counts as failed.
    [[nodiscard]] int state() const;

    /// 0 or one of the statuses that the contract lists for the call. No allocation, no text: this is the data path.
    [[nodiscard]] std::int32_t post_send(std::span<const sansock_slice> slices, std::uint64_t token);
    [[nodiscard]] std::int32_t post_receive(std::span<const sansock_slice> slices, std::uint64_t token);

    /// Whether the framework's own memory may be the path (sansock.shared-memory/1). Asked once established.
    [[nodiscard]] bool shares_memory() const;

    /// For extensions' functions.
    [[nodiscard]] sansock_endpoint *get() const;

private:
    friend class Provider;
    explicit Endpoint(std::unique_ptr<detail::EndpointState> state);
    std::unique_ptr<detail::EndpointState> state_;
};

/// Where requests of several endpoints complete.
class CompletionQueue {
public:
    CompletionQueue(CompletionQueue &&) noexcept = default;
    CompletionQueue &operator=(CompletionQueue &&) noexcept = default;

    [[nodiscard]] int notification_fd() const;

    /// Takes up to `completions.size()` completions; token and context are the caller's own. EPROTO when the plugin
    /// reports what cannot be: then the queue is unusable and its endpoints should be closed.
    [[nodiscard]] Result<std::size_t> poll(std::span<sansock_completion> completions);

    /// Asks for one notification of SANSOCK_NOTIFY_*; poll once more before waiting for it (sansock/sdk/completion.h).
    [[nodiscard]] Result<void> arm(std::uint32_t what = SANSOCK_NOTIFY_ALL);

private:
    friend class Provider;
    explicit CompletionQueue(std::shared_ptr<detail::QueueState> state) : state_(std::move(state)) {}
    std::shared_ptr<detail::QueueState> state_;
};

/// Says how an endpoint is to be made.
struct EndpointOptions {
    std::uint32_t send_depth = 0;
    std::uint32_t receive_depth = 0;
    std::uint64_t context = 0;         ///< Comes back in completions.
    bool wants_shared_memory = false;  ///< With sansock.shared-memory/1 usable, nothing will be posted.
};

/// An opened provider.
class Provider {
public:
    Provider(Provider &&) noexcept = default;
    Provider &operator=(Provider &&) noexcept = default;

    /// Takes over a provider that a plugin opened. `keep_loaded` is let go after it is closed. EPROTO when its limits
    /// are nonsense; it is closed then.
    [[nodiscard]] static Result<Provider> adopt(sansock_provider *provider, std::string name, std::shared_ptr<const void> keep_loaded);

    [[nodiscard]] const sansock_limits &limits() const;
    /// Some region, queue or endpoint of it is there still.
    [[nodiscard]] bool is_used() const { return state_.use_count() > 1; }
    /// For extensions' functions.
    [[nodiscard]] sansock_provider *get() const;
    [[nodiscard]] Result<Region> register_region(void *base, std::uint64_t length, int memfd, std::uint64_t offset);
    [[nodiscard]] Result<CompletionQueue> create_completion_queue(std::uint32_t depth);
    [[nodiscard]] Result<Endpoint> create_endpoint(CompletionQueue &queue, const EndpointOptions &options);

    /// The table of an extension, or nullptr. Valid as long as the provider lives.
    template <class Ops>
    [[nodiscard]] const Ops *extension(const char *id) const {
        return static_cast<const Ops *>(find_extension(id));
    }

private:
    explicit Provider(std::shared_ptr<detail::ProviderState> state) : state_(std::move(state)) {}
    [[nodiscard]] const void *find_extension(const char *id) const;
    std::shared_ptr<detail::ProviderState> state_;
};

}  // namespace sansock::plugin
