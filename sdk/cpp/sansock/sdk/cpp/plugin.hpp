// Turns a provider class into a plugin. In exactly one source file, outside every namespace:
//
//     SANSOCK_PLUGIN("my-plugin", SANSOCK_PLUGIN_VERSION, MyProvider)
//
// sansock_add_plugin() defines SANSOCK_PLUGIN_VERSION as the version that it writes into the manifest.
#pragma once
#include <sansock/sdk/entry.h>

#include "sansock/sdk/cpp/completion_queue.hpp"
#include "sansock/sdk/cpp/endpoint.hpp"
#include "sansock/sdk/cpp/failure.hpp"
#include "sansock/sdk/cpp/provider.hpp"

namespace sansock::sdk {

template <class ProviderType>
class Plugin {
public:
    static constexpr sansock_plugin entry(const char *name, const char *version) {
        return {SANSOCK_ABI_MAJOR, SANSOCK_ABI_MINOR, name, version, SANSOCK_SDK_VERSION, init, deinit, open_provider};
    }

private:
    static std::int32_t init(const sansock_host *host, sansock_error *) noexcept {
        host_ = host;
        return SANSOCK_OK;
    }
    static void deinit() noexcept { host_ = nullptr; }
    static std::int32_t open_provider(const sansock_provider_config *config, sansock_provider **provider, sansock_error *error) noexcept {
        return guarded(error, [&] { *provider = ProviderType::open(*host_, *config).release(); });
    }

    static inline const sansock_host *host_ = nullptr;
};

}  // namespace sansock::sdk

#define SANSOCK_PLUGIN(NAME, VERSION, PROVIDER) \
    const sansock_plugin sansock_plugin_entry = ::sansock::sdk::Plugin<PROVIDER>::entry(NAME, VERSION);
