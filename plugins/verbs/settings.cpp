#include "settings.hpp"

#include "common/units.hpp"
#include "common/yaml_block.hpp"
#include "transport.hpp"

namespace sansock::verbs {
namespace {

using plugins::parse_count;
using plugins::parse_duration;
using plugins::parse_size;
using plugins::YamlMapping;

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kSecond = 1'000 * kMillisecond;

void parse_options(YamlMapping options, Settings &settings, Transport &transport) {
    options.with_text("device", [&](const YAML::Node &, const std::string &text) { settings.device = text; });
    options.with_text("address", [&](const YAML::Node &value, const std::string &text) {
        settings.address = plugins::parse_address(text);
        if (!settings.address || !plugins::names_a_host(*settings.address)) {
            options.wrong("address", value, "an address of this host, such as 192.0.2.7 or 2001:db8::7");
        }
    });
    options.quantity("message_max", settings.message_bytes_max, kMessageBytesMin, kMessageBytesMax, parse_size,
                     "a size of 4 KiB to 1 MiB, such as 128 KiB");
    options.quantity("connect_timeout", settings.connect_timeout_ns, 10 * kMillisecond, 60 * kSecond, parse_duration,
                     "a duration of 10ms to 60s, such as 2s");
    options.with("traffic_class", [&](const YAML::Node &) {
        std::uint64_t traffic_class = 0;
        options.quantity("traffic_class", traffic_class, 0, UINT8_MAX, parse_count, "a number of 0 to 255");
        settings.traffic_class = static_cast<std::uint8_t>(traffic_class);
    });
    transport.read(options);
    options.refuse_unknown();
}

}  // namespace

Settings parse_settings(const char *yaml, const char *origin, Transport &transport) {
    Settings settings;
    plugins::read_yaml_block(yaml, origin, [&](YamlMapping &root) {
        root.with("options", [&](const YAML::Node &node) { parse_options(root.child("options", node), settings, transport); });
        root.with("rdma_threshold", [](const YAML::Node &) {});  // Every operator may set it; each send is copied here.
    });
    return settings;
}

}  // namespace sansock::verbs
