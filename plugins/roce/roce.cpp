#include <sansock/sdk/cpp/plugin.hpp>

#include "transport.hpp"
#include "verbs/provider.hpp"

namespace sansock::roce {
namespace {

struct Provider {
    static std::unique_ptr<verbs::Provider> open(const sansock_host &host, const sansock_provider_config &config) {
        return verbs::Provider::open(std::make_unique<Transport>(), host, config);
    }
};

}  // namespace
}  // namespace sansock::roce

SANSOCK_PLUGIN("roce", SANSOCK_PLUGIN_VERSION, sansock::roce::Provider)
