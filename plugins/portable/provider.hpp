#pragma once
#include <sansock/sdk/host.h>

#include <memory>
#include <sansock/sdk/cpp/provider.hpp>
#include <sansock/sdk/cpp/region.hpp>
#include <string_view>

#include "endpoint.hpp"
#include "lobby.hpp"
#include "queue.hpp"
#include "settings.hpp"

namespace sansock::portable {

class Provider : public sdk::Provider<Provider> {
public:
    Provider(const sansock_host &host, Settings settings) : host_(host), settings_(settings), lobby_(host, settings_) {}
    static std::unique_ptr<Provider> open(const sansock_host &host, const sansock_provider_config &config);

    sansock_limits limits() const noexcept;
    std::unique_ptr<sansock_region> register_region(const sansock_memory &memory) { return sdk::make_region(memory); }
    void deregister_region(sansock_region *region) noexcept { delete region; }
    std::unique_ptr<Queue> create_completion_queue(std::uint32_t depth);
    std::unique_ptr<Endpoint> create_endpoint(const sansock_endpoint_config &config);
    const void *extension(std::string_view id) const noexcept;

    // For endpoints.
    [[nodiscard]] const Settings &settings() const noexcept { return settings_; }
    [[nodiscard]] std::uint64_t now_ns() const noexcept { return host_.ops->now_ns(&host_); }
    [[nodiscard]] Lobby &lobby() noexcept { return lobby_; }

private:
    const sansock_host &host_;
    const Settings settings_;
    Lobby lobby_;
};

}  // namespace sansock::portable
