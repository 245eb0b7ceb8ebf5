#include "settings.hpp"

#include <charconv>
#include <string_view>

#include "common/units.hpp"
#include "common/yaml_block.hpp"

namespace sansock::portable {
namespace {

using plugins::parse_duration;
using plugins::parse_size;
using plugins::YamlMapping;

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kSecond = 1'000 * kMillisecond;

std::optional<std::uint16_t> parse_port(std::string_view text) {
    std::uint16_t port = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || rest != text.data() + text.size() || port == 0) return std::nullopt;
    return port;
}

std::optional<Ports> parse_ports(std::string_view text) {
    const std::size_t dash = text.find('-');
    const auto first = parse_port(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : parse_port(text.substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    return Ports{*first, *last};
}

void parse_options(YamlMapping options, Settings &settings) {
    options.with_text("address", [&](const YAML::Node &value, const std::string &text) {
        settings.address = parse_address(text);
        if (!settings.address || !names_a_host(*settings.address)) {
            options.wrong("address", value, "an address of this host, such as 192.0.2.7 or 2001:db8::7");
        }
    });
    options.with_text("ports", [&](const YAML::Node &value, const std::string &text) {
        const auto ports = parse_ports(text);
        if (!ports) return options.wrong("ports", value, "a port of 1 to 65535 or a range of them, such as 7000-7099");
        settings.ports = *ports;
    });
    options.quantity("message_max", settings.message_bytes_max, kMessageBytesMin, kMessageBytesMax, parse_size,
                     "a size of 4 KiB to 1 MiB, such as 128 KiB");
    options.quantity("connect_timeout", settings.connect_timeout_ns, 10 * kMillisecond, 60 * kSecond, parse_duration,
                     "a duration of 10ms to 60s, such as 2s");
    options.quantity("timeout", settings.timeout_ns, 2 * kSecond, 3600 * kSecond, parse_duration, "a duration of 2s to 3600s, such as 10s");
    options.refuse_unknown();
}

}  // namespace

Settings parse_settings(const char *yaml, const char *origin) {
    Settings settings;
    plugins::read_yaml_block(yaml, origin, [&](YamlMapping &root) {
        root.with("options", [&](const YAML::Node &node) { parse_options(root.child("options", node), settings); });
        root.with("rdma_threshold", [](const YAML::Node &) {});  // every operator may set it; there is no RDMA here
    });
    return settings;
}

}  // namespace sansock::portable
