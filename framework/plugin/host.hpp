// Loads plugins on first use and opens their providers.
//
// A plugin is a stranger in this process. It is loaded with RTLD_LOCAL, so that its symbols meet nobody else's, and
// with RTLD_NOW, so that what it lacks is missed here and not in the middle of a transfer. Whatever goes wrong with it
// is an error that names it, and the other plugins go on.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "plugin/catalog.hpp"
#include "plugin/provider.hpp"

namespace sansock::plugin {

/// Where plugins' log lines go: the plugin's name, SANSOCK_LOG_*, the line. Called from any thread.
using LogSink = std::function<void(std::string_view plugin, int level, std::string_view text)>;

namespace detail {
struct HostState;
}

/// One per process at a time: a plugin is initialised once. Plugins stay loaded as long as the host lives or a provider
/// of theirs is open.
class Host {
public:
    explicit Host(Catalog catalog, LogSink log = {});

    [[nodiscard]] const Catalog &catalog() const;
    /// Manifests may have changed since. What is loaded stays what it was.
    void set_catalog(Catalog catalog);
    /// Lets go of a plugin that nothing uses, so that the next open() loads its file anew. False: it is in use.
    bool unload(std::string_view plugin);
    /// In a child of fork: what is loaded is the parent's, and stays as it is for ever.
    void abandon();

    /// Loads the plugin if need be and opens a provider. `guid` is canonical, `yaml` the operator's block, `origin`
    /// where the block begins ("file:line"). A plugin that could not be loaded is tried again each time. Any thread.
    [[nodiscard]] Result<Provider> open(std::string_view plugin, const std::string &guid, const std::string &yaml,
                                        const std::string &origin);

private:
    std::shared_ptr<detail::HostState> state_;
};

}  // namespace sansock::plugin
