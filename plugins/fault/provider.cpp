#include "provider.hpp"

#include <sansock/sdk/ext/fault_injection.h>
#include <sansock/sdk/ext/host_open_provider.h>

#include <sansock/sdk/cpp/plugin.hpp>

namespace sansock::fault {
namespace {

using sdk::Failure;

constexpr sansock_fault_injection_ops kFaultInjection{
    [](sansock_endpoint *endpoint, std::int32_t status) { static_cast<Endpoint *>(endpoint)->fail(status); },
    [](sansock_endpoint *endpoint) { static_cast<Endpoint *>(endpoint)->silence(); }};

[[noreturn]] void inject(Verdict verdict, Call call) {
    throw Failure(verdict.status, "fault injected at " + std::string(kCalls[static_cast<std::size_t>(call)]));
}

}  // namespace

std::unique_ptr<Provider> Provider::open(const sansock_host &host, const sansock_provider_config &config) {
    Settings settings = parse_settings(config.yaml, config.origin);
    if (const Verdict verdict = fault::judge(settings.rules, Call::open); verdict.effect != Effect::none) {
        inject(verdict, Call::open);
    }
    const auto *opener =
        static_cast<const sansock_host_open_provider_ops *>(host.ops->get_extension(&host, SANSOCK_EXT_HOST_OPEN_PROVIDER));
    if (opener == nullptr) throw Failure(SANSOCK_ENOTSUP, "this host cannot open a provider to be wrapped");
    sansock_provider_config wrapped = config;
    wrapped.yaml = settings.wrapped_yaml.c_str();
    const std::string origin = std::string(config.origin) + " (wrapped)";  // its lines are no longer those of the file
    wrapped.origin = origin.c_str();
    sansock_provider *inner = nullptr;
    sansock_error error{};
    error.size = sizeof error;
    const std::int32_t status = opener->open_provider(&host, settings.wraps.c_str(), &wrapped, &inner, &error);
    if (status != SANSOCK_OK) throw Failure(status, error.text);
    return std::make_unique<Provider>(inner, std::move(settings));
}

void Provider::check(Call call) {
    if (const Verdict verdict = judge(call); verdict.effect != Effect::none) inject(verdict, call);
}

sansock_limits Provider::limits() const noexcept {
    sansock_limits limits{};
    limits.size = sizeof limits;
    inner_->ops->get_limits(inner_, &limits);
    return limits;
}

Provider::PassedRegion Provider::register_region(const sansock_memory &memory) {
    check(Call::register_region);
    sansock_region *region = nullptr;
    control([&](sansock_provider *inner, sansock_error *error) { return inner->ops->register_region(inner, &memory, &region, error); });
    return {region};
}

void Provider::deregister_region(sansock_region *region) noexcept {
    const auto held = lock();
    inner_->ops->deregister_region(inner_, region);
}

std::unique_ptr<Queue> Provider::create_completion_queue(std::uint32_t depth) {
    check(Call::create_completion_queue);
    return std::make_unique<Queue>(*this, depth);
}

std::unique_ptr<Endpoint> Provider::create_endpoint(const sansock_endpoint_config &config) {
    check(Call::create_endpoint);
    return std::make_unique<Endpoint>(*this, config);
}

const void *Provider::extension(std::string_view id) const noexcept {
    return id == SANSOCK_EXT_FAULT_INJECTION ? &kFaultInjection : nullptr;
}

}  // namespace sansock::fault

SANSOCK_PLUGIN("fault", SANSOCK_PLUGIN_VERSION, sansock::fault::Provider)
