// The one place that wires configuration and plugins together.
#include "socket/runtime.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <sansock/sdk/ext/shared_memory.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <set>
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

constexpr uint32_t kProvidersMax = 64;  ///< Numbers that Choice::provider and the accounts have room for.

uint64_t ns(std::chrono::nanoseconds time) { return static_cast<uint64_t>(time.count()); }

void put(char *to, size_t size, const std::string &text) {
    const size_t length = std::min(text.size(), size - 1);
    std::memcpy(to, text.data(), length);
    to[length] = '\0';
}

bool carries_messages(plugin::Provider &provider) {
    return provider.extension<sansock_shared_memory_ops>(SANSOCK_EXT_SHARED_MEMORY) == nullptr;
}

/// A message is the bytes and their frame, two slices; and data must have a receive beside those that are reserved. Empty: it is so.
std::string misfit(const config::Provider &block, plugin::Provider &provider) {
    const sansock_limits &limits = provider.limits();
    if (!carries_messages(provider) || (limits.slice_count_max >= 2 && limits.receive_depth_max >= path::Credits::kReceivesMin)) return {};
    return fmt::format("plugin '{}' takes {} slices and {} receives, messages need 2 and {}", block.plugin, limits.slice_count_max,
                       limits.receive_depth_max, path::Credits::kReceivesMin);
}

class ConfiguredRuntime final : public socket::Runtime {
public:
    ConfiguredRuntime(const socket::Launch &launch, config::Config config)
        : launch_(launch),
          host_(plugin::Catalog::scan(plugin::search_path(launch.plugin_path)),
                [this](std::string_view plugin, int level, std::string_view text) { log().from_plugin(plugin, level, text); }) {
        take(std::move(config));
    }

    const socket::Policy &policy() override { return policies_.back(); }
    bool reload(std::span<char> why) override;
    Choice choose(const sockaddr_in6 &server, uint64_t refused, const char *wanted, bool far) override;
    bool may_share(uid_t one, uid_t other) override { return config::may_share(config_, one, other); }
    void set_drained(std::span<const socket::GuidText> guids) override;
    bool release_drained() override;
    void lose(uint32_t provider) override { lost_ |= uint64_t{1} << provider; }
    uint64_t lost() override {
        if (pid_ != getpid()) forget_parents();
        return lost_;
    }
    bool close_lost(uint32_t provider) override;
    void warn(const char *text) override { log().warning(text); }
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
    /// What connections name by a number, which stays the same whatever becomes of the configuration.
    struct Opened {
        config::Provider block;  ///< As it was configured last.
        bool configured = false;
        std::optional<plugin::Provider> provider;
        Queues queues;
        std::string fault;                                    ///< Why it could not be opened when it was tried last; said once.
        std::chrono::steady_clock::time_point tried_again{};  ///< And not before then again, which would be for every connection.
    };

    void take(config::Config config);
    uint32_t number_of(const config::Provider &block);
    void fill_policy();
    [[nodiscard]] const Log &log() const { return *log_.load(std::memory_order_acquire); }
    plugin::Provider *provider(uint32_t index);
    static Session *session(void *endpoint) { return static_cast<Session *>(endpoint); }
    bool said(const char *what, const Result<void> &result);
    void pass_over(Opened &opened, std::string fault);
    void forget_parents();
    void close_retired();
    void say(const char *what, const Error &error) { log().error(fmt::format("{}: {}", what, error.text)); }

    const socket::Launch &launch_;
    config::Config config_;
    // Other threads may be in the middle of the one before: all stay.
    std::deque<Log> logs_;
    std::deque<socket::Policy> policies_;
    std::atomic<const Log *> log_{nullptr};
    plugin::Host host_;
    std::vector<Opened> providers_;
    std::vector<uint32_t> numbers_;  ///< Of the configuration's providers, in its order.
    std::vector<plugin::Region> regions_;
    std::set<std::string, std::less<>> drained_;  ///< GUIDs.
    uint64_t lost_ = 0;                           ///< Providers whose device is gone, a bit each, until they are closed.
    pid_t pid_ = getpid();
    std::atomic<Session *> retired_{nullptr};  ///< A stack without a lock: an application's thread may be in a signal handler, or forking.
};

config::Loaded load(const char *file) {
    if (*file != '\0') return config::load_file(file);
    return {config::embedded_default(), {}};
}

/// What holds from now on. Providers whose blocks are as they were stay open.
void ConfiguredRuntime::take(config::Config config) {
    config_ = std::move(config);
    log_.store(&logs_.emplace_back(config_.logging), std::memory_order_release);
    for (Opened &opened : providers_) opened.configured = false;
    numbers_.clear();
    for (const config::Provider &block : config_.providers) numbers_.push_back(number_of(block));
    for (Opened &opened : providers_) {
        if (!opened.configured && opened.provider && !opened.provider->is_used()) opened.provider.reset();
        opened.tried_again = {};  // what was missing may be there by now
    }
    fill_policy();
}

/// The number of the block that differs in nothing that its provider was opened with, or another one; kProvidersMax: there is none left.
uint32_t ConfiguredRuntime::number_of(const config::Provider &block) {
    const auto same = std::ranges::find_if(providers_, [&](const Opened &opened) {
        return opened.block.guid == block.guid && opened.block.plugin == block.plugin && opened.block.block_yaml == block.block_yaml;
    });
    auto found = same != providers_.end()
                     ? same
                     : std::ranges::find_if(providers_, [](const Opened &opened) { return !opened.configured && !opened.provider; });
    if (found == providers_.end() && providers_.size() == kProvidersMax) {
        log().warning(
            fmt::format("{}: the provider is passed over: those before the configuration was changed are in use still", block.origin));
        return kProvidersMax;
    }
    if (found == providers_.end()) found = providers_.insert(found, Opened{});
    found->block = block;
    found->configured = true;
    return static_cast<uint32_t>(found - providers_.begin());
}

bool ConfiguredRuntime::reload(std::span<char> why) {
    if (pid_ != getpid()) forget_parents();
    close_retired();
    std::string faults;
    try {
        auto loaded = load(launch_.config);
        if (loaded.config) {
            take(std::move(*loaded.config));
            return true;
        }
        for (const auto &fault : loaded.config.error()) {
            log().error(fault.format());
            faults += fault.format() + '\n';
        }
    } catch (const std::exception &error) {
        faults = error.what();
    }
    put(why.data(), why.size(), faults);
    return false;
}

void ConfiguredRuntime::fill_policy() {
    socket::Policy policy;
    // A connection becomes a candidate before anybody has looked for its route: the most eager one decides about that.
    config::UpgradeAfter earliest = config_.upgrade_after;
    for (const config::Route &route : config_.routes) {
        const bool ours = route.programs.empty() || std::ranges::find(route.programs, launch_.program) != route.programs.end();
        if (!ours || route.policy == config::Policy::forbid) continue;
        earliest.calls = std::min(earliest.calls, route.upgrade_after.calls);
        earliest.bytes = std::min(earliest.bytes, route.upgrade_after.bytes);
    }
    policy.upgrade_after_calls = earliest.calls;
    policy.upgrade_after_bytes = earliest.bytes;
    policy.spin_ns_max = config_.waiting.policy == config::WaitPolicy::park ? 0 : static_cast<uint32_t>(ns(config_.waiting.spin_max));
    policy.spin_always = config_.waiting.policy == config::WaitPolicy::spin;
    policy.rendezvous_timeout_ns = ns(config_.timeouts.rendezvous);
    policy.require_timeout_ns = ns(config_.timeouts.require);
    policy.step_timeout_ns = ns(config_.timeouts.step);
    policy.path_timeout_ns = ns(config_.timeouts.path);
    policy.return_after_ns = ns(config_.timeouts.return_after);
    policies_.push_back(policy);
}

Choice ConfiguredRuntime::choose(const sockaddr_in6 &server, uint64_t refused, const char *wanted, bool far) {
    close_retired();
    Choice choice;
    const auto endpoint = config::Endpoint::from(reinterpret_cast<const sockaddr *>(&server), sizeof server);
    const config::Route *route = endpoint ? config::match(config_, *endpoint, launch_.program) : nullptr;
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
    bool drained = false, too_short = false;
    for (const config::Guid &guid : route->providers) {
        const config::Provider *block = config_.find(guid);
        drained |= drained_.contains(guid.text());
        if (drained_.contains(guid.text())) continue;
        if (block == nullptr || (wanted != nullptr && guid.text() != wanted)) continue;
        const uint32_t index = numbers_[static_cast<size_t>(block - config_.providers.data())];
        if (index == kProvidersMax || (refused >> index & 1) != 0 || provider(index) == nullptr) continue;
        if (far && (provider(index)->limits().reach != SANSOCK_REACH_NETWORK || !carries_messages(*provider(index)))) {
            too_short = true;
            continue;
        }
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
    choice.refused = drained ? stream::Reason::kDrained : too_short ? stream::Reason::kRemoteHost : stream::Reason::kNoProvider;
    return choice;
}

void ConfiguredRuntime::set_drained(std::span<const socket::GuidText> guids) {
    std::set<std::string, std::less<>> now;
    for (const socket::GuidText &guid : guids) now.insert(guid.text);
    // What comes back may have other manifests by now.
    if (!std::ranges::includes(now, drained_)) host_.set_catalog(plugin::Catalog::scan(plugin::search_path(launch_.plugin_path)));
    drained_ = std::move(now);
}

bool ConfiguredRuntime::release_drained() {
    if (pid_ != getpid()) forget_parents();
    close_retired();
    bool all = true;
    std::set<std::string> plugins;
    for (Opened &opened : providers_) {
        if (!drained_.contains(opened.block.guid.text())) continue;
        opened.tried_again = {};
        if (opened.provider && opened.provider->is_used()) {
            all = false;
            continue;
        }
        opened.provider.reset();
        plugins.insert(opened.block.plugin);
    }
    // One that serves a provider that is not drained stays.
    for (const std::string &plugin : plugins) {
        const bool serves =
            std::ranges::any_of(providers_, [&](const Opened &opened) { return opened.provider && opened.block.plugin == plugin; });
        if (!serves) all &= host_.unload(plugin);
    }
    return all;
}

/// Opens a provider on first use.
plugin::Provider *ConfiguredRuntime::provider(uint32_t index) {
    if (pid_ != getpid()) forget_parents();
    Opened &opened = providers_[index];
    if ((lost_ >> index & 1) != 0) return nullptr;
    if (opened.provider) return &*opened.provider;
    if (std::chrono::steady_clock::now() < opened.tried_again) return nullptr;
    const config::Provider &block = opened.block;
    auto provider = host_.open(block.plugin, block.guid.text(), block.block_yaml, block.origin);
    std::string fault = provider ? misfit(block, *provider) : provider.error().text;
    if (!fault.empty()) {
        pass_over(opened, std::move(fault));
        return nullptr;
    }
    opened.fault.clear();
    opened.provider.emplace(std::move(*provider));
    return &*opened.provider;
}

void ConfiguredRuntime::pass_over(Opened &opened, std::string fault) {
    opened.tried_again = std::chrono::steady_clock::now() + config_.timeouts.return_after;
    if (opened.fault == fault) return;
    opened.fault = std::move(fault);
    log().warning(fmt::format("provider {} is passed over: {}", opened.block.guid.text(), opened.fault));
}

bool ConfiguredRuntime::close_lost(uint32_t index) {
    close_retired();
    Opened &opened = providers_[index];
    if (opened.provider && opened.provider->is_used()) return false;
    opened.provider.reset();
    lost_ &= ~(uint64_t{1} << index);
    pass_over(opened, "its device is gone");
    return true;
}

/// A child of fork neither uses nor closes what its parent opened: it opens its own.
void ConfiguredRuntime::forget_parents() {
    pid_ = getpid();
    auto *parents = new std::vector<Opened>(providers_.size());
    for (size_t i = 0; i < providers_.size(); ++i) {
        std::swap((*parents)[i].provider, providers_[i].provider);
        std::swap((*parents)[i].queues, providers_[i].queues);
        providers_[i].tried_again = {};
    }
    lost_ = 0;
    new std::vector<plugin::Region>(std::exchange(regions_, {}));
    host_.abandon();
}

void *ConfiguredRuntime::create(const Choice &choice) {
    plugin::Provider *opened = provider(choice.provider);
    if (opened == nullptr) return nullptr;
    auto made = Session::open(*opened, providers_[choice.provider].queues, choice);
    if (!made) {
        if (made.error().code == ENODEV) lose(choice.provider);
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

}  // namespace
}  // namespace sansock::runtime

extern "C" __attribute__((visibility("default"))) const char sansock_runtime_version[] = SANSOCK_VERSION;

extern "C" __attribute__((visibility("default"))) sansock::socket::Runtime *sansock_runtime_open(const sansock::socket::Launch &launch) {
    using namespace sansock::runtime;
    try {
        auto loaded = load(launch.config);
        if (!loaded.config) {
            Log log;
            for (const auto &fault : loaded.config.error()) log.error(fault.format());
            return nullptr;
        }
        // Never destroyed: connections may need it until the process is gone.
        return new ConfiguredRuntime(launch, std::move(*loaded.config));
    } catch (const std::exception &error) {
        Log().error(error.what());
        return nullptr;
    }
}
