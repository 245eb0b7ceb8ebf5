#include "provider.hpp"

#include <sansock/sdk/ext/statistics.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/kernel.hpp"

namespace sansock::verbs {
namespace {

using sdk::Failure;

constexpr std::uint32_t kDepthMax = 1024;
constexpr std::uint32_t kQueueDepthMax = 1 << 20;

constexpr sansock_statistics_ops kStatistics{[](sansock_endpoint *endpoint, sansock_statistics *statistics) {
    sdk::copy_record(static_cast<Endpoint *>(endpoint)->statistics(), *statistics);
}};

std::uint32_t at_most(int device, std::uint32_t ours) noexcept { return std::min(static_cast<std::uint32_t>(std::max(device, 1)), ours); }

std::string text_of_limit(rlim_t limit) { return limit == RLIM_INFINITY ? "unlimited" : std::to_string(limit / 1024) + " KiB"; }

/// Where pinned pages are not copied for children, libibverbs takes all that it registers out of them: a child would share a private page
/// until its parent writes to it, and the parent's would then be another one than the device's. The host's memory is mapped shared: such a
/// page stays what it is, and children go on with what lies there.
void stay_in_children(const sansock_memory &memory) {
    if (plugins::kernel(SYS_madvise, memory.base, memory.length, MADV_DOFORK) < 0) throw Failure::from_errno("memory for children");
}

}  // namespace

Provider::Provider(const sansock_host &host, std::unique_ptr<Transport> transport, Settings settings, const char *origin)
    : transport_(std::move(transport)),
      settings_(std::move(settings)),
      device_(settings_, *transport_, origin),
      connector_(host, device_, *transport_, settings_) {
    settings_.message_bytes_max = std::min<std::uint64_t>(settings_.message_bytes_max, device_.port_attributes().max_msg_sz);
}

std::unique_ptr<Provider> Provider::open(std::unique_ptr<Transport> transport, const sansock_host &host,
                                         const sansock_provider_config &config) {
    Settings settings = parse_settings(config.yaml, config.origin, *transport);
    return std::make_unique<Provider>(host, std::move(transport), std::move(settings), config.origin);
}

sansock_limits Provider::limits() const noexcept {
    const ibv_device_attr &device = device_.attributes();
    sansock_limits limits{};
    limits.size = sizeof limits;
    limits.reach = SANSOCK_REACH_NETWORK;
    limits.message_bytes_max = settings_.message_bytes_max;
    limits.slice_count_max = kSliceCountMax;
    limits.send_depth_max = at_most(device.max_qp_wr - 1, kDepthMax);
    limits.receive_depth_max = at_most(device.max_qp_wr, kDepthMax);
    limits.completion_depth_max = at_most(device.max_cqe / 3 * 2 - 1, kQueueDepthMax);
    transport_->limit(limits);
    return limits;
}

std::unique_ptr<Region> Provider::register_region(const sansock_memory &memory) {
    auto region = std::make_unique<Region>();
    static_cast<sansock_region &>(*region) = *sdk::make_region(memory);
    {
        const auto lock = no_fork();
        region->memory.reset(ibv_reg_mr(&device_.domain(), memory.base, memory.length, IBV_ACCESS_LOCAL_WRITE));
        if (region->memory) stay_in_children(memory);
    }
    if (region->memory) return region;
    const int code = errno;
    std::string text = "the device does not register " + std::to_string(memory.length) + " bytes: " + std::strerror(code);
    rlimit limit{};
    if ((code == ENOMEM || code == EAGAIN || code == EPERM) && ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
        text += "; of locked memory this process may have " + text_of_limit(limit.rlim_cur) + " (RLIMIT_MEMLOCK)";
    }
    throw Failure(code == EINVAL || code == EFAULT ? SANSOCK_EINVAL : SANSOCK_ENOMEM, text);
}

std::unique_ptr<Queue> Provider::create_completion_queue(std::uint32_t depth) {
    if (depth == 0 || depth > limits().completion_depth_max) throw Failure(SANSOCK_EINVAL, "the queue's depth is out of range");
    return std::make_unique<Queue>(device_, depth);
}

std::unique_ptr<Endpoint> Provider::create_endpoint(const sansock_endpoint_config &config) {
    const sansock_limits most = limits();
    const auto is_depth = [](std::uint32_t depth, std::uint32_t max) { return depth >= 1 && depth <= max; };
    if (!is_depth(config.send_depth, most.send_depth_max) || !is_depth(config.receive_depth, most.receive_depth_max)) {
        throw Failure(SANSOCK_EINVAL, "the endpoint's depth is out of range");
    }
    return std::make_unique<Endpoint>(*this, config);
}

const void *Provider::extension(std::string_view id) const noexcept { return id == SANSOCK_EXT_STATISTICS ? &kStatistics : nullptr; }

}  // namespace sansock::verbs
