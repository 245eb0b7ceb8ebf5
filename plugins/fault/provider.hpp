#pragma once
#include <sansock/sdk/host.h>

#include <memory>
#include <mutex>
#include <sansock/sdk/cpp/provider.hpp>
#include <string_view>

#include "endpoint.hpp"
#include "queue.hpp"
#include "rules.hpp"

namespace sansock::fault {

class Provider : public sdk::Provider<Provider> {
public:
    Provider(sansock_provider *inner, Settings settings) : settings_(std::move(settings)), inner_(inner) {}
    ~Provider() { inner_->ops->close(inner_); }
    static std::unique_ptr<Provider> open(const sansock_host &host, const sansock_provider_config &config);

    /// Regions are the wrapped provider's own: slices pass through unchanged.
    struct PassedRegion {
        sansock_region *region;
        sansock_region *release() const { return region; }
    };

    sansock_limits limits() const noexcept;
    PassedRegion register_region(const sansock_memory &memory);
    void deregister_region(sansock_region *region) noexcept;
    std::unique_ptr<Queue> create_completion_queue(std::uint32_t depth);
    std::unique_ptr<Endpoint> create_endpoint(const sansock_endpoint_config &config);
    /// The wrapped provider's extensions are hidden: they take its objects, and shared memory would bypass every fault.
    const void *extension(std::string_view id) const noexcept;

    [[nodiscard]] Verdict judge(Call call) noexcept { return fault::judge(settings_.rules, call); }
    /// Throws if a fault is due for this call.
    void check(Call call);

    /// A fault may close a wrapped endpoint from inside a [progress] call, while another thread is in a [control] call.
    [[nodiscard]] std::unique_lock<std::mutex> lock() { return std::unique_lock(mutex_); }

    /// Runs a [control] call of the wrapped provider and throws what it answers.
    template <class Run>
    void control(Run &&run) {
        const auto held = lock();
        sansock_error error{};
        error.size = sizeof error;
        if (const std::int32_t status = run(inner_, &error); status != SANSOCK_OK) throw sdk::Failure(status, error.text);
    }

private:
    Settings settings_;
    sansock_provider *inner_;
    std::mutex mutex_;
};

}  // namespace sansock::fault
