// The one place that wires configuration and plugins together.
#include "socket/runtime.hpp"

#include <errno.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "config/load.hpp"
#include "plugin/catalog.hpp"
#include "plugin/host.hpp"
#include "runtime/log.hpp"

namespace sansock::runtime {
namespace {

using socket::Choice;
using socket::OfferBytes;

uint64_t ns(std::chrono::nanoseconds time) { return static_cast<uint64_t>(time.count()); }

void put(char *to, size_t size, const std::string &text) {
    const size_t length = std::min(text.size(), size - 1);
    std::memcpy(to, text.data(), length);
    to[length] = '\0';
}

/// One endpoint and what it needs. In shared-memory mode nothing is ever posted, so the queue is the smallest there is.
struct Session {
    plugin::CompletionQueue queue;
    plugin::Endpoint endpoint;
};

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
    Choice choose(const sockaddr_in6 &server) override;
    bool may_share(uid_t one, uid_t other) override { return config::may_share(config_, one, other); }
    void warn(const char *text) override { log_.warning(text); }
    void *offer(uint32_t provider, OfferBytes &offer) override;
    void *accept(uint32_t provider, const OfferBytes &offer, OfferBytes &answer) override;
    bool take_answer(void *endpoint, const OfferBytes &answer) override;
    bool shares_memory(void *endpoint) override { return static_cast<Session *>(endpoint)->endpoint.shares_memory(); }
    void retire(void *endpoint) override {
        const std::scoped_lock lock(retired_lock_);
        retired_.push_back(static_cast<Session *>(endpoint));
    }

private:
    struct Opened {
        std::optional<plugin::Provider> provider;
        bool failed = false;  ///< Said once; not tried again for every connection.
    };

    void fill_policy();
    plugin::Provider *provider(uint32_t index);
    std::unique_ptr<Session> session(uint32_t provider);
    void close_retired();
    void say(const char *what, const Error &error) { log_.error(fmt::format("{}: {}", what, error.text)); }

    const char *const program_;
    const config::Config config_;
    Log log_;
    plugin::Host host_;
    std::vector<Opened> providers_;
    socket::Policy policy_;
    std::mutex retired_lock_;
    std::vector<Session *> retired_;
};

void ConfiguredRuntime::fill_policy() {
    // A connection becomes a candidate before anybody has looked for its route: the most eager one decides about that.
    config::UpgradeAfter earliest = config_.upgrade_after;
    for (const config::Route &route : config_.routes) {
        earliest.calls = std::min(earliest.calls, route.upgrade_after.calls);
        earliest.bytes = std::min(earliest.bytes, route.upgrade_after.bytes);
    }
    policy_.upgrade_after_calls = earliest.calls;
    policy_.upgrade_after_bytes = earliest.bytes;
    policy_.spin_ns_max = config_.waiting.policy == config::WaitPolicy::park ? 0 : static_cast<uint32_t>(ns(config_.waiting.spin_max));
    policy_.spin_always = config_.waiting.policy == config::WaitPolicy::spin;
    policy_.rendezvous_timeout_ns = ns(config_.timeouts.rendezvous);
    policy_.step_timeout_ns = ns(config_.timeouts.step);
}

Choice ConfiguredRuntime::choose(const sockaddr_in6 &server) {
    close_retired();
    Choice choice;
    const auto endpoint = config::Endpoint::from(reinterpret_cast<const sockaddr *>(&server), sizeof server);
    const config::Route *route = endpoint ? config::match(config_, *endpoint, program_) : nullptr;
    if (route == nullptr) {
        choice.refused = stream::Reason::kNoRoute;
        return choice;
    }
    if (route->policy == config::Policy::forbid) {
        choice.refused = stream::Reason::kForbidden;
        return choice;
    }
    for (const config::Guid &guid : route->providers) {
        const config::Provider *block = config_.find(guid);
        if (block == nullptr) continue;
        const auto index = static_cast<uint32_t>(block - config_.providers.data());
        if (provider(index) == nullptr) continue;
        choice.provider = index;
        choice.send_buffers = block->send_buffers;
        choice.buffer_size = block->buffer_size;
        choice.max_memory = block->max_memory;
        put(choice.guid, sizeof choice.guid, guid.text());
        put(choice.plugin, sizeof choice.plugin, block->plugin);
        return choice;
    }
    choice.refused = stream::Reason::kNoProvider;
    return choice;
}

/// Opens a provider on first use.
plugin::Provider *ConfiguredRuntime::provider(uint32_t index) {
    Opened &opened = providers_[index];
    if (opened.provider) return &*opened.provider;
    if (opened.failed) return nullptr;
    const config::Provider &block = config_.providers[index];
    auto provider = host_.open(block.plugin, block.guid.text(), block.block_yaml, block.origin);
    if (!provider) {
        opened.failed = true;
        say("connections stay on TCP", provider.error());
        return nullptr;
    }
    opened.provider.emplace(std::move(*provider));
    return &*opened.provider;
}

std::unique_ptr<Session> ConfiguredRuntime::session(uint32_t index) {
    plugin::Provider *opened = provider(index);
    if (opened == nullptr) return nullptr;
    auto queue = opened->create_completion_queue(2);
    if (!queue) {
        say("no completion queue", queue.error());
        return nullptr;
    }
    auto endpoint = opened->create_endpoint(*queue, {.send_depth = 1, .receive_depth = 1, .context = 0, .wants_shared_memory = true});
    if (!endpoint) {
        say("no endpoint", endpoint.error());
        return nullptr;
    }
    return std::make_unique<Session>(Session{std::move(*queue), std::move(*endpoint)});
}

namespace {

bool carry(const plugin::Offer &from, OfferBytes &to) {
    // Descriptors would have to travel too; a provider that needs them carries messages, not shared memory.
    if (from.bytes.size() > socket::kOfferMax || !from.fds.empty()) return false;
    to.size = static_cast<uint32_t>(from.bytes.size());
    std::memcpy(to.data, from.bytes.data(), from.bytes.size());
    return true;
}

plugin::Offer carried(const OfferBytes &from) {
    plugin::Offer offer;
    offer.bytes.assign(from.bytes().begin(), from.bytes().end());
    return offer;
}

}  // namespace

void *ConfiguredRuntime::offer(uint32_t index, OfferBytes &bytes) {
    auto made = session(index);
    if (!made) return nullptr;
    auto offer = made->endpoint.make_offer();
    if (!offer) {
        say("no offer", offer.error());
        return nullptr;
    }
    return carry(*offer, bytes) ? made.release() : nullptr;
}

void *ConfiguredRuntime::accept(uint32_t index, const OfferBytes &bytes, OfferBytes &reply) {
    auto made = session(index);
    if (!made) return nullptr;
    auto answer = made->endpoint.accept_offer(carried(bytes));
    if (!answer) {
        say("offer not accepted", answer.error());
        return nullptr;
    }
    return carry(*answer, reply) ? made.release() : nullptr;
}

bool ConfiguredRuntime::take_answer(void *endpoint, const OfferBytes &bytes) {
    auto taken = static_cast<Session *>(endpoint)->endpoint.take_answer(carried(bytes));
    if (!taken) say("answer not taken", taken.error());
    return taken.has_value();
}

void ConfiguredRuntime::close_retired() {
    std::vector<Session *> closing;
    {
        const std::scoped_lock lock(retired_lock_);
        closing.swap(retired_);
    }
    for (Session *session : closing) delete session;
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
