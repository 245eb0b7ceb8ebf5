#include "provider.hpp"

#include <sansock/sdk/ext/shared_memory.h>
#include <sansock/sdk/ext/statistics.h>
#include <sys/syscall.h>

#include <sansock/sdk/cpp/plugin.hpp>

namespace sansock::simulated {
namespace {

using sdk::Failure;

constexpr sansock_shared_memory_ops kSharedMemory{
    [](sansock_endpoint *endpoint) -> std::int32_t { return static_cast<Endpoint *>(endpoint)->memory_is_path(); }};

constexpr sansock_statistics_ops kStatistics{[](sansock_endpoint *endpoint, sansock_statistics *statistics) {
    sdk::copy_record(static_cast<Endpoint *>(endpoint)->statistics(), *statistics);
}};

}  // namespace

Provider::Provider(const sansock_host &host, Settings settings)
    : host_(host),
      settings_(settings),
      process_(sdk::UniqueFd::checked(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)), "pidfd_open")) {}

std::unique_ptr<Provider> Provider::open(const sansock_host &host, const sansock_provider_config &config) {
    return std::make_unique<Provider>(host, parse_settings(config.yaml, config.origin));
}

sansock_limits Provider::limits() const noexcept {
    const bool fails = settings_.simulation && settings_.simulation->unreceived_fails;
    sansock_limits limits{};
    limits.size = sizeof limits;
    limits.reach = SANSOCK_REACH_HOST;
    limits.message_bytes_max = settings_.message_bytes_max;
    limits.inline_bytes_max = kInlineBytesMax;
    limits.slice_count_max = kSliceCountMax;
    limits.send_depth_max = kDepthMax;
    limits.receive_depth_max = kDepthMax;
    limits.completion_depth_max = kQueueDepthMax;
    limits.unreceived = fails ? SANSOCK_UNRECEIVED_FAILS : SANSOCK_UNRECEIVED_WAITS;
    return limits;
}

std::unique_ptr<Queue> Provider::create_completion_queue(std::uint32_t depth) {
    if (depth == 0 || depth > kQueueDepthMax) throw Failure(SANSOCK_EINVAL, "the queue's depth is out of range");
    return std::make_unique<Queue>(depth);
}

std::unique_ptr<Endpoint> Provider::create_endpoint(const sansock_endpoint_config &config) {
    const auto is_depth = [](std::uint32_t depth) { return depth >= 1 && depth <= kDepthMax; };
    if (!is_depth(config.send_depth) || !is_depth(config.receive_depth)) {
        throw Failure(SANSOCK_EINVAL, "the endpoint's depth is out of range");
    }
    return std::make_unique<Endpoint>(*this, config);
}

const void *Provider::extension(std::string_view id) const noexcept {
    // With a simulation there is a network between the ends, and memory is no path.
    if (id == SANSOCK_EXT_SHARED_MEMORY && !settings_.simulation) return &kSharedMemory;
    if (id == SANSOCK_EXT_STATISTICS) return &kStatistics;
    return nullptr;
}

}  // namespace sansock::simulated

SANSOCK_PLUGIN("simulated", SANSOCK_PLUGIN_VERSION, sansock::simulated::Provider)
