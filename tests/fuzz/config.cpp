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

using config::Node;

Node text_of(const std::string &text, bool is_number = false) {
    return {.type = Node::Type::scalar, .position = {}, .text = text, .quoted = !is_number, .items = {}, .members = {}};
}
Node number_of(uint64_t number) { return text_of(std::to_string(number), true); }
Node mapping_of(std::vector<config::Member> members) {
    return {.type = Node::Type::mapping, .position = {}, .text = {}, .quoted = false, .items = {}, .members = std::move(members)};
}
template <class List, class Make>
void add_list(Node &to, const char *name, const List &list, Make make) {
    if (list.empty()) return;
    Node node{.type = Node::Type::sequence, .position = {}, .text = {}, .quoted = false, .items = {}, .members = {}};
    for (const auto &one : list) node.items.push_back(make(one));
    to.members.push_back({text_of(name), std::move(node)});
}
Node after_of(const config::UpgradeAfter &after) {
    return mapping_of({{text_of("calls"), number_of(after.calls)}, {text_of("bytes"), number_of(after.bytes)}});
}

/// Providers and routes of a configuration as another text.
std::string written(const config::Config &config) {
    Node providers = mapping_of({});
    for (const config::Provider &one : config.providers) {
        providers.members.push_back({text_of(one.guid.text()), mapping_of({{text_of("plugin"), text_of(one.plugin)},
                                                                           {text_of("send_buffers"), number_of(one.send_buffers)},
                                                                           {text_of("receive_buffers"), number_of(one.receive_buffers)},
                                                                           {text_of("buffer_size"), number_of(one.buffer_size)},
                                                                           {text_of("max_memory"), number_of(one.max_memory)}})});
    }
    Node all = mapping_of({{text_of("providers"), std::move(providers)}, {text_of("upgrade_after"), after_of(config.upgrade_after)}});
    add_list(all, "routes", config.routes, [](const config::Route &route) {
        static constexpr const char *kPolicies[] = {"prefer", "require", "forbid"};
        Node node = mapping_of({{text_of("policy"), text_of(kPolicies[static_cast<int>(route.policy)])}});
        node.members.push_back({text_of("upgrade_after"), after_of(route.upgrade_after)});
        add_list(node, "providers", route.providers, [](const config::Guid &guid) { return text_of(guid.text()); });
        add_list(node, "destination", route.destinations, [](const config::Subnet &subnet) { return text_of(subnet.text()); });
        add_list(node, "program", route.programs, [](const std::string &program) { return text_of(program); });
        add_list(node, "port", route.ports,
                 [](const config::PortRange &range) { return text_of(std::to_string(range.first) + "-" + std::to_string(range.last)); });
        return node;
    });
    return config::to_json(all, 1);
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
