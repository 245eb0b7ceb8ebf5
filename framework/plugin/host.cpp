#include "plugin/host.hpp"

#include <sansock/sdk/ext/host_open_provider.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <mutex>
#include <utility>

#include "plugin/library.hpp"

namespace sansock::plugin {
namespace detail {

/// A loaded plugin with what it was lent.
struct Loaded : sansock_host {
    std::weak_ptr<HostState> host;  ///< Weak, since the host goes first when providers outlive it.
    LogSink log;
    std::string name;
    std::vector<std::shared_ptr<Loaded>> wrapped;  ///< Needed by providers of this plugin.
    std::unique_ptr<Library> library;              ///< Last, so that deinit still has everything above.
};

struct HostState : std::enable_shared_from_this<HostState> {
    HostState(Catalog found, LogSink sink) : catalog(std::move(found)), log(std::move(sink)) {}

    // Called with `mutex` held.
    Result<std::shared_ptr<Loaded>> load(std::string_view name);
    Result<sansock_provider *> open(Loaded &plugin, const sansock_provider_config &config);

    Catalog catalog;
    const LogSink log;
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<Loaded>, std::less<>> loaded;
    std::vector<Loaded *> opening;  ///< Whose open_provider is running, the outermost first.
};

}  // namespace detail

using detail::HostState;
using detail::Loaded;

namespace {

Loaded &self(const sansock_host *host) { return *const_cast<Loaded *>(static_cast<const Loaded *>(host)); }

void write_log(const sansock_host *host, std::int32_t level, const char *text) {
    const Loaded &plugin = self(host);
    if (plugin.log) plugin.log(plugin.name, std::clamp(level, SANSOCK_LOG_ERROR, SANSOCK_LOG_DEBUG), text);
}

void *allocate(const sansock_host *, std::size_t bytes, std::size_t alignment) {
    void *memory = nullptr;
    if (::posix_memalign(&memory, std::max(alignment, sizeof(void *)), bytes) != 0) return nullptr;
    return std::memset(memory, 0, bytes);
}

void release(const sansock_host *, void *memory) { std::free(memory); }

std::uint64_t now_ns(const sansock_host *) {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

void write_error(sansock_error *error, const std::string &text) {
    std::strncpy(error->text, text.c_str(), sizeof error->text - 1);
    error->text[sizeof error->text - 1] = '\0';
}

/// Runs inside HostState::open, with its mutex held by this thread.
std::int32_t open_wrapped(const sansock_host *host, const char *plugin_name, const sansock_provider_config *config,
                          sansock_provider **provider, sansock_error *error) {
    Loaded &outer = self(host);
    const std::shared_ptr<HostState> state = outer.host.lock();
    if (!state || std::ranges::find(state->opening, &outer) == state->opening.end()) {
        write_error(error, "a provider can be wrapped only while the wrapping one is being opened");
        return SANSOCK_EINVAL;
    }
    auto inner = state->load(plugin_name);
    if (!inner) {
        write_error(error, inner.error().text);
        return SANSOCK_ENODEV;
    }
    if (std::ranges::find(state->opening, inner->get()) != state->opening.end()) {
        write_error(error, "plugin '" + std::string(plugin_name) + "' would wrap itself");
        return SANSOCK_EINVAL;
    }
    const Result<sansock_provider *> opened = state->open(**inner, *config);
    if (!opened) {
        write_error(error, opened.error().text);
        return -opened.error().code;
    }
    if (std::ranges::find(outer.wrapped, *inner) == outer.wrapped.end()) outer.wrapped.push_back(*inner);
    *provider = *opened;
    return SANSOCK_OK;
}

const void *find_extension(const sansock_host *, const char *id) {
    static constexpr sansock_host_open_provider_ops kOpenProvider{open_wrapped};
    return std::strcmp(id, SANSOCK_EXT_HOST_OPEN_PROVIDER) == 0 ? &kOpenProvider : nullptr;
}

constexpr sansock_host_ops kHostOps{write_log, allocate, release, now_ns, find_extension};

}  // namespace

Result<std::shared_ptr<Loaded>> HostState::load(std::string_view name) {
    if (const auto found = loaded.find(name); found != loaded.end()) return found->second;
    const Manifest *manifest = catalog.find(name);
    if (manifest == nullptr) return fail(ENODEV, catalog.explain_missing(name));
    auto plugin = std::make_shared<Loaded>();
    plugin->ops = &kHostOps;
    plugin->host = weak_from_this();
    plugin->log = log;
    plugin->name = name;
    auto library = Library::load(*manifest, *plugin);
    if (!library) return std::unexpected(library.error());
    plugin->library = std::move(*library);
    loaded.insert_or_assign(plugin->name, plugin);
    return plugin;
}

Result<sansock_provider *> HostState::open(Loaded &plugin, const sansock_provider_config &config) {
    opening.push_back(&plugin);
    Result<sansock_provider *> provider = plugin.library->open_provider(config);
    opening.pop_back();
    return provider;
}

Host::Host(Catalog catalog, LogSink log) : state_(std::make_shared<HostState>(std::move(catalog), std::move(log))) {}

const Catalog &Host::catalog() const { return state_->catalog; }

void Host::set_catalog(Catalog catalog) {
    const std::lock_guard lock(state_->mutex);
    state_->catalog = std::move(catalog);
}

void Host::abandon() {
    const std::lock_guard lock(state_->mutex);
    new auto(std::exchange(state_->loaded, {}));
}

bool Host::unload(std::string_view plugin) {
    std::shared_ptr<Loaded> last;  // which goes without the lock
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->loaded.find(plugin);
    if (found == state_->loaded.end()) return true;
    if (found->second.use_count() > 1) return false;
    last = std::move(found->second);
    state_->loaded.erase(found);
    return true;
}

Result<Provider> Host::open(std::string_view plugin, const std::string &guid, const std::string &yaml, const std::string &origin) {
    const std::lock_guard lock(state_->mutex);
    auto loaded = state_->load(plugin);
    if (!loaded) return std::unexpected(loaded.error());
    const sansock_provider_config config{.size = sizeof config, .guid = guid.c_str(), .yaml = yaml.c_str(), .origin = origin.c_str()};
    auto provider = state_->open(**loaded, config);
    if (!provider) return std::unexpected(provider.error());
    return Provider::adopt(*provider, std::string(plugin), *loaded);
}

}  // namespace sansock::plugin
