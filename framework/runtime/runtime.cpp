// The one place that wires configuration and plugins together.
#include "socket/runtime.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <sansock/sdk/ext/shared_memory.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "config/load.hpp"
#include "path/carrier.hpp"
#include "plugin/catalog.hpp"
#include "plugin/host.hpp"
#include "runtime/log.hpp"
#include "runtime/session.hpp"

namespace sansock::runtime {
namespace {

using socket::Choice;
using socket::OfferBytes;
using socket::OfferFds;

uint64_t ns(std::chrono::nanoseconds time) { return static_cast<uint64_t>(time.count()); }

void put(char *to, size_t size, const std::string &text) {
    const size_t length = std::min(text.size(), size - 1);
    std::memcpy(to, text.data(), length);
    to[length] = '\0';
}

bool carries_messages(plugin::Provider &provider) {
    return provider.extension<sansock_shared_memory_ops>(SANSOCK_EXT_SHARED_MEMORY) == nullptr;
}

class ConfiguredRuntime final : public socket::Runtime {
public:
    ConfiguredRuntime(const socket::Launch &launch, config::Config config, Log log)
        : program_(launch.program),
          config_(std::move(config)),
          log_(std::move(log)),
          host_(plugin::Catalog::scan(plugin::search_path(launch.plugin_path)),
                [this](std::string_view plugin, int level, std::string_view text) { log_.from_plugin(plugin, level, text); }),
          providers_(config_.providers.size()) {
        fill_policy();
    }

    const socket::Policy &policy() override { return policy_; }
    Choice choose(const sockaddr_in6 &server, uint64_t refused, const char *wanted) override;
    bool may_share(uid_t one, uid_t other) override { return config::may_share(config_, one, other); }
    void warn(const char *text) override { log_.warning(text); }
    void *create(const Choice &choice) override;
    bool offer(void *endpoint, OfferBytes &bytes, OfferFds &fds) override;
    bool accept(void *endpoint, const OfferBytes &bytes, const OfferFds &fds, OfferBytes &answer, OfferFds &answer_fds) override;
    bool take_answer(void *endpoint, const OfferBytes &bytes, const OfferFds &fds) override;
    bool shares_memory(void *endpoint) override { return session(endpoint)->shares_memory(); }
    path::Endpoint &messages(void *endpoint) override { return *session(endpoint); }
    int notification_fd(void *endpoint) override { return session(endpoint)->notification_fd(); }
    sansock_region *register_memory(uint32_t provider, void *base, uint64_t length) override;
    void deregister_memory(sansock_region *region) override;
    void close(void *endpoint) override;
    void retire(void *endpoint) override {
        Session *const retired = session(endpoint);
        retired->next_retired = retired_.load(std::memory_order_relaxed);
        while (!retired_.compare_exchange_weak(retired->next_retired, retired, std::memory_order_release)) {
        }
    }

private:
    struct Opened {
        std::optional<plugin::Provider> provider;
        Queues queues;
        bool failed = false;  ///< Said once; not tried again for every connection.
    };

    void fill_policy();
    plugin::Provider *provider(uint32_t index);
    static Session *session(void *endpoint) { return static_cast<Session *>(endpoint); }
    bool said(const char *what, const Result<void> &result);
    bool fits(const config::Provider &block, plugin::Provider &provider);
    void forget_parents();
    void close_retired();
    void say(const char *what, const Error &error) { log_.error(fmt::format("{}: {}", what, error.text)); }

    const char *const program_;
    const config::Config config_;
    Log log_;
    plugin::Host host_;
    std::vector<Opened> providers_;
    std::vector<plugin::Region> regions_;
    pid_t pid_ = getpid();
    socket::Policy policy_;
    std::atomic<Session *> retired_{nullptr};  ///< A stack without a lock: an application's thread may be in a signal handler, or forking.
};

void ConfiguredRuntime::fill_policy() {
    // A connection becomes a candidate before anybody has looked for its route: the most eager one decides about that.
    config::UpgradeAfter earliest = config_.upgrade_after;
    for (const config::Route &route : config_.routes) {
        const bool ours = route.programs.empty() || std::ranges::find(route.programs, program_) != route.programs.end();
        if (!ours || route.policy == config::Policy::forbid) continue;
        earliest.calls = std::min(earliest.calls, route.upgrade_after.calls);
        earliest.bytes = std::min(earliest.bytes, route.upgrade_after.bytes);
    }
    policy_.upgrade_after_calls = earliest.calls;
    policy_.upgrade_after_bytes = earliest.bytes;
    policy_.spin_ns_max = config_.waiting.policy == config::WaitPolicy::park ? 0 : static_cast<uint32_t>(ns(config_.waiting.spin_max));
    policy_.spin_always = config_.waiting.policy == config::WaitPolicy::spin;
    policy_.rendezvous_timeout_ns = ns(config_.timeouts.rendezvous);
    policy_.require_timeout_ns = ns(config_.timeouts.require);
    policy_.step_timeout_ns = ns(config_.timeouts.step);
    policy_.path_timeout_ns = ns(config_.timeouts.path);
}

Choice ConfiguredRuntime::choose(const sockaddr_in6 &server, uint64_t refused, const char *wanted) {
    close_retired();
    Choice choice;
    const auto endpoint = config::Endpoint::from(reinterpret_cast<const sockaddr *>(&server), sizeof server);
    const config::Route *route = endpoint ? config::match(config_, *endpoint, program_) : nullptr;
    if (route == nullptr) {
        choice.refused = stream::Reason::kNoRoute;
        return choice;
    }
    choice.required = route->policy == config::Policy::require;
    if (route->policy == config::Policy::forbid) {
        choice.refused = stream::Reason::kForbidden;
        return choice;
    }
    choice.after_calls = route->upgrade_after.calls;
    choice.after_bytes = route->upgrade_after.bytes;
    for (const config::Guid &guid : route->providers) {
        const config::Provider *block = config_.find(guid);
        if (block == nullptr || (wanted != nullptr && guid.text() != wanted)) continue;
        const auto index = static_cast<uint32_t>(block - config_.providers.data());
        if ((index < 64 && (refused >> index & 1) != 0) || provider(index) == nullptr) continue;
        choice.provider = index;
        choice.send_buffers = block->send_buffers;
        choice.buffer_size = block->buffer_size;
        choice.max_memory = block->max_memory;
        put(choice.guid, sizeof choice.guid, guid.text());
        put(choice.plugin, sizeof choice.plugin, block->plugin);
        choice.carries_messages = carries_messages(*provider(index));
        const sansock_limits &limits = provider(index)->limits();
        choice.messages = {limits.message_bytes_max, std::min({block->send_buffers, limits.send_depth_max, path::kSendsMax}),
                           std::min({block->receive_buffers, limits.receive_depth_max, path::kReceivesMax}),
                           limits.answerer_sends_first == 1};
        return choice;
    }
    choice.refused = stream::Reason::kNoProvider;
    return choice;
}

/// Opens a provider on first use.
plugin::Provider *ConfiguredRuntime::provider(uint32_t index) {
    if (pid_ != getpid()) forget_parents();
    Opened &opened = providers_[index];
    if (opened.provider) return &*opened.provider;
    if (opened.failed) return nullptr;
    const config::Provider &block = config_.providers[index];
    auto provider = host_.open(block.plugin, block.guid.text(), block.block_yaml, block.origin);
    if (!provider) {
        opened.failed = true;
        log_.warning(fmt::format("provider {} is passed over: {}", block.guid.text(), provider.error().text));
        return nullptr;
    }
    if (!fits(block, *provider)) {
        opened.failed = true;
        return nullptr;
    }
    opened.provider.emplace(std::move(*provider));
    return &*opened.provider;
}

/// A message is the bytes and their frame, two slices; and data must have a receive beside those that are reserved.
bool ConfiguredRuntime::fits(const config::Provider &block, plugin::Provider &provider) {
    const sansock_limits &limits = provider.limits();
    if (!carries_messages(provider) || (limits.slice_count_max >= 2 && limits.receive_depth_max >= path::Credits::kReceivesMin))
        return true;
    log_.warning(fmt::format("provider {} is passed over: plugin '{}' takes {} slices and {} receives, messages need 2 and {}",
                             block.guid.text(), block.plugin, limits.slice_count_max, limits.receive_depth_max,
                             path::Credits::kReceivesMin));
    return false;
}

/// A child of fork neither uses nor closes what its parent opened: it opens its own.
void ConfiguredRuntime::forget_parents() {
    pid_ = getpid();
    new std::vector<Opened>(std::exchange(providers_, std::vector<Opened>(config_.providers.size())));
    new std::vector<plugin::Region>(std::exchange(regions_, {}));
}

void *ConfiguredRuntime::create(const Choice &choice) {
    plugin::Provider *opened = provider(choice.provider);
    if (opened == nullptr) return nullptr;
    auto made = Session::open(*opened, providers_[choice.provider].queues, choice);
    if (!made) {
        say("no endpoint", made.error());
        return nullptr;
    }
    return made->release();
}

bool ConfiguredRuntime::said(const char *what, const Result<void> &result) {
    if (!result) say(what, result.error());
    return result.has_value();
}

bool ConfiguredRuntime::offer(void *endpoint, OfferBytes &bytes, OfferFds &fds) {
    return said("no offer", session(endpoint)->offer(bytes, fds));
}

bool ConfiguredRuntime::accept(void *endpoint, const OfferBytes &bytes, const OfferFds &fds, OfferBytes &answer, OfferFds &answer_fds) {
    return said("offer not accepted", session(endpoint)->accept(bytes, fds, answer, answer_fds));
}

bool ConfiguredRuntime::take_answer(void *endpoint, const OfferBytes &bytes, const OfferFds &fds) {
    return said("answer not taken", session(endpoint)->take_answer(bytes, fds));
}

sansock_region *ConfiguredRuntime::register_memory(uint32_t index, void *base, uint64_t length) {
    plugin::Provider *opened = provider(index);
    if (opened == nullptr) return nullptr;
    auto region = opened->register_region(base, length, -1, 0);
    if (!region) {
        say("connections stay on TCP", region.error());
        return nullptr;
    }
    return regions_.emplace_back(std::move(*region)).get();
}

void ConfiguredRuntime::deregister_memory(sansock_region *region) {
    std::erase_if(regions_, [&](const plugin::Region &known) { return known.get() == region; });
}

void ConfiguredRuntime::close(void *endpoint) {
    if (session(endpoint)->is_ours()) delete session(endpoint);
}

void ConfiguredRuntime::close_retired() {
    for (Session *next = retired_.exchange(nullptr, std::memory_order_acquire); next != nullptr;) {
        Session *const retired = next;
        next = retired->next_retired;
        close(retired);
    }
}

config::Loaded load(const char *file) {
    if (*file != '\0') return config::load_file(file);
    return {config::embedded_default(), {}};
}

}  // namespace
}  // namespace sansock::runtime

extern "C" __attribute__((visibility("default"))) sansock::socket::Runtime *sansock_runtime_open(const sansock::socket::Launch &launch) {
    using namespace sansock::runtime;
    try {
        auto loaded = load(launch.config);
        if (!loaded.config) {
            Log log;
            for (const auto &fault : loaded.config.error()) log.error(fault.format());
            return nullptr;
        }
        Log log(loaded.config->logging);
        // Never destroyed: connections may need it until the process is gone.
        return new ConfiguredRuntime(launch, std::move(*loaded.config), std::move(log));
    } catch (const std::exception &error) {
        Log().error(error.what());
        return nullptr;
    }
}
