#pragma once
#include <sansock/sdk/host.h>

#include <memory>
#include <sansock/sdk/cpp/provider.hpp>
#include <string_view>

#include "connector.hpp"
#include "device.hpp"
#include "endpoint.hpp"
#include "queue.hpp"
#include "region.hpp"

namespace sansock::verbs {

inline constexpr std::uint32_t kSliceCountMax = 2;

class Provider : public sdk::Provider<Provider> {
public:
    Provider(const sansock_host &host, std::unique_ptr<Transport> transport, Settings settings, const char *origin);
    static std::unique_ptr<Provider> open(std::unique_ptr<Transport> transport, const sansock_host &host,
                                          const sansock_provider_config &config);

    sansock_limits limits() const noexcept;
    std::unique_ptr<Region> register_region(const sansock_memory &memory);
    void deregister_region(sansock_region *region) noexcept { delete static_cast<Region *>(region); }
    std::unique_ptr<Queue> create_completion_queue(std::uint32_t depth);
    std::unique_ptr<Endpoint> create_endpoint(const sansock_endpoint_config &config);
    const void *extension(std::string_view id) const noexcept;

    // For endpoints.
    [[nodiscard]] const Settings &settings() const noexcept { return settings_; }
    [[nodiscard]] const Transport &transport() const noexcept { return *transport_; }
    [[nodiscard]] Device &device() noexcept { return device_; }
    [[nodiscard]] Connector &connector() noexcept { return connector_; }

private:
    const std::unique_ptr<Transport> transport_;
    Settings settings_;
    Device device_;
    Connector connector_;
};

}  // namespace sansock::verbs
