#include "settings.hpp"

#include "common/units.hpp"
#include "common/yaml_block.hpp"
#include "layout.hpp"

namespace sansock::simulated {
namespace {

using plugins::parse_bandwidth;
using plugins::parse_count;
using plugins::parse_duration;
using plugins::parse_size;
using plugins::YamlMapping;

Simulation parse_simulation(YamlMapping block) {
    constexpr std::uint64_t kTenSeconds = 10'000'000'000;
    constexpr std::uint64_t kMegabit = 1'000'000 / 8;
    Simulation simulation;
    block.quantity("latency", simulation.latency_ns, 0, kTenSeconds, parse_duration, "a duration of 0 to 10s, such as 20us");
    block.quantity("bandwidth", simulation.bandwidth_bytes, kMegabit, kMegabit * 10'000'000, parse_bandwidth,
                   "a bandwidth of 1Mbit to 10000Gbit a second, such as 10Gbit");
    block.quantity("jitter", simulation.jitter_ns, 0, kTenSeconds, parse_duration, "a duration of 0 to 10s, such as 5us");
    block.quantity("fail_after_messages", simulation.fail_after_messages, 0, UINT64_MAX, parse_count, "a number of messages, or 0: never");
    block.quantity("seed", simulation.seed, 0, UINT64_MAX, parse_count, "a number, at least 0");
    block.with_text("completion_error_rate", [&](const YAML::Node &value, const std::string &) {
        double &rate = simulation.completion_error_rate;
        if (!YAML::convert<double>::decode(value, rate) || !(rate >= 0 && rate <= 1)) {
            block.wrong("completion_error_rate", value, "a number from 0 to 1, such as 0.01");
        }
    });
    block.with_text("unreceived", [&](const YAML::Node &value, const std::string &text) {
        if (text != "wait" && text != "fail") block.wrong("unreceived", value, "wait or fail");
        simulation.unreceived_fails = text == "fail";
    });
    block.refuse_unknown();
    return simulation;
}

}  // namespace

Settings parse_settings(const char *yaml, const char *origin) {
    Settings settings;
    plugins::read_yaml_block(yaml, origin, [&](YamlMapping &root) {
        root.with("options", [&](const YAML::Node &node) {
            YamlMapping options = root.child("options", node);
            options.quantity("message_max", settings.message_bytes_max, kMessageBytesMin, kMessageBytesMax, parse_size,
                             "a size of 4 KiB to 1 MiB, such as 128 KiB");
            options.refuse_unknown();
        });
        root.with("rdma_threshold", [](const YAML::Node &) {});  // every operator may set it; there is no RDMA here
        root.with("simulation", [&](const YAML::Node &node) { settings.simulation = parse_simulation(root.child("simulation", node)); });
    });
    return settings;
}

}  // namespace sansock::simulated
