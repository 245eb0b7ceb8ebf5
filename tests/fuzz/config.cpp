// A configuration is refused, with places in it, or is one that can be used: what it says, written out anew, loads and is the same.
#include <set>

#include "config/document.hpp"
#include "config/load.hpp"
#include "fuzz.hpp"

using namespace sansock;

namespace {

/// No file of the host's is looked at.
config::Host host() {
    return {.has_plugin = [](std::string_view plugin) { return plugin == "simulated"; },
            .find_user = [](const std::string &name) { return name == "redis" ? std::optional<uid_t>(100) : std::nullopt; },
            .has_folder = [](const std::string &) { return false; }};
}

/// Providers and routes of a configuration as another text.
std::string written(const config::Config &config) {
    std::string text = "providers:\n";
    for (const config::Provider &one : config.providers) {
        text += "  \"" + one.guid.text() + "\":\n    plugin: simulated\n    send_buffers: " + std::to_string(one.send_buffers) +
                "\n    receive_buffers: " + std::to_string(one.receive_buffers) + "\n    buffer_size: " + std::to_string(one.buffer_size) +
                "\n    max_memory: " + std::to_string(one.max_memory) + "\n";
    }
    if (config.providers.empty()) text = "providers: {}\n";
    text += "upgrade_after: {calls: " + std::to_string(config.upgrade_after.calls) +
            ", bytes: " + std::to_string(config.upgrade_after.bytes) + "}\n";
    return text;
}

void check(const config::Config &config) {
    std::set<config::Guid> guids;
    for (const config::Provider &one : config.providers) {
        MUST(guids.insert(one.guid).second && config.find(one.guid) == &one && config::Guid::parse(one.guid.text()) == one.guid);
        MUST(!one.plugin.empty() && one.send_buffers > 0 && one.receive_buffers > 0 && (one.buffer_size & (one.buffer_size - 1)) == 0);
        if (one.block_yaml.empty()) continue;
        // The plugin is given a document of its own, which is read as it was meant.
        const auto block = config::parse_document(one.block_yaml);
        MUST(block && block->type == config::Node::Type::mapping);
        MUST(config::to_json(*block, 1) == one.block_yaml);
    }
    for (const config::Route &route : config.routes) {
        for (const config::Guid &guid : route.providers) MUST(guids.contains(guid));
        MUST(!route.providers.empty() || route.policy == config::Policy::forbid);
        for (const config::PortRange &range : route.ports) MUST(range.first <= range.last);
    }
    for (const char *text : {"192.0.2.7", "::1", "::ffff:10.0.0.1"}) {
        const auto address = config::Address::parse(text);
        if (!address) continue;
        const config::Route *const route = config::match(config, {*address, 6379}, "redis-server");
        MUST(route == nullptr || (route >= config.routes.data() && route < config.routes.data() + config.routes.size()));
    }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const std::string_view text(reinterpret_cast<const char *>(data), size);
    const auto loaded = config::load_text(text, "f", host());
    for (const config::Diagnostic &note : loaded.notes) MUST(note.position.line >= 1 && note.position.column >= 1);
    if (!loaded.config) {
        MUST(!loaded.config.error().empty());
        for (const config::Diagnostic &one : loaded.config.error()) {
            MUST(one.position.line >= 1 && one.position.column >= 1 && !one.text.empty());
            MUST(std::all_of(one.text.begin(), one.text.end(), [](unsigned char code) { return code >= 0x20 && code != 0x7f; }));
        }
        return 0;
    }
    check(*loaded.config);
    const auto again = config::load_text(written(*loaded.config), "g", host());
    MUST(again.config && again.config->providers.size() == loaded.config->providers.size());
    MUST(written(*again.config) == written(*loaded.config));
    return 0;
}
