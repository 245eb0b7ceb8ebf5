#include "provider.hpp"

#include <sansock/sdk/ext/statistics.h>

#include <sansock/sdk/cpp/plugin.hpp>

namespace sansock::portable {
namespace {

using sdk::Failure;

constexpr std::uint32_t kDepthMax = 1024;
constexpr std::uint32_t kQueueDepthMax = 1 << 20;

constexpr sansock_statistics_ops kStatistics{[](sansock_endpoint *endpoint, sansock_statistics *statistics) {
    sdk::copy_record(static_cast<Endpoint *>(endpoint)->statistics(), *statistics);
}};

/// An address that this host has not should be told to whoever checks the configuration, not to each connection.
void check_address(const Address &address, const char *origin) {
    const Socket socket(kernel(SYS_socket, family_of(address), SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_storage at;
    const socklen_t length = to_kernel(address, 0, at);
    if (socket && kernel(SYS_bind, socket.get(), &at, length) == 0) return;
    throw Failure(SANSOCK_ENODEV, std::string(origin) + ": options.address is none of this host's");
}

}  // namespace

std::unique_ptr<Provider> Provider::open(const sansock_host &host, const sansock_provider_config &config) {
    const Settings settings = parse_settings(config.yaml, config.origin);
    if (settings.address) check_address(*settings.address, config.origin);
    return std::make_unique<Provider>(host, settings);
}

sansock_limits Provider::limits() const noexcept {
    sansock_limits limits{};
    limits.size = sizeof limits;
    limits.reach = SANSOCK_REACH_NETWORK;
    limits.message_bytes_max = settings_.message_bytes_max;
    limits.inline_bytes_max = kInlineBytesMax;
    limits.slice_count_max = kSliceCountMax;
    limits.send_depth_max = kDepthMax;
    limits.receive_depth_max = kDepthMax;
    limits.completion_depth_max = kQueueDepthMax;
    limits.unreceived = SANSOCK_UNRECEIVED_WAITS;
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

const void *Provider::extension(std::string_view id) const noexcept { return id == SANSOCK_EXT_STATISTICS ? &kStatistics : nullptr; }

}  // namespace sansock::portable

SANSOCK_PLUGIN("portable", SANSOCK_PLUGIN_VERSION, sansock::portable::Provider)
