#include "settings.hpp"

#include <yaml-cpp/yaml.h>

#include <sansock/sdk/cpp/failure.hpp>
#include <set>

#include "layout.hpp"
#include "units.hpp"

namespace sansock::simulated {
namespace {

/// One mapping of the block, which knows where it stands, what was asked for and so what nobody knows.
class Mapping {
public:
    Mapping(YAML::Node node, std::string path, std::string origin)
        : node_(std::move(node)), path_(std::move(path)), origin_(std::move(origin)) {
        if (!node_.IsMap() && !node_.IsNull()) refuse(node_, path_.empty() ? "the block" : path_, "must be a mapping");
    }

    /// Calls `use` with the key's node, if the key is there.
    template <class Use>
    void with(const std::string &key, Use &&use) {
        known_.insert(key);
        if (!node_.IsMap()) return;
        if (const YAML::Node value = node_[key]) use(value);
    }

    /// The value as `parse` understands it, within bounds; `allowed` finishes "... is not".
    template <class Parse>
    void quantity(const std::string &key, std::uint64_t &into, std::uint64_t min, std::uint64_t max, Parse &&parse,
                  const char *allowed) {
        with(key, [&](const YAML::Node &value) {
            const std::optional<std::uint64_t> parsed = parse(scalar(key, value));
            if (!parsed || *parsed < min || *parsed > max) wrong(key, value, allowed);
            into = *parsed;
        });
    }

    [[noreturn]] void wrong(const std::string &key, const YAML::Node &value, const char *allowed) const {
        refuse(value, path_ + key, "is '" + scalar(key, value) + "'; write " + allowed);
    }

    [[nodiscard]] std::string scalar(const std::string &key, const YAML::Node &value) const {
        if (!value.IsScalar()) refuse(value, path_ + key, "must be a single value");
        return value.Scalar();
    }

    void refuse_unknown() const {
        if (!node_.IsMap()) return;
        std::set<std::string> seen;
        for (const auto &member : node_) {
            const std::string key = scalar("key", member.first);
            if (!seen.insert(key).second) refuse(member.first, path_ + key, "is given twice");
            if (known_.contains(key)) continue;
            std::string all;
            for (const std::string &each : known_) all += (all.empty() ? "" : ", ") + each;
            refuse(member.first, path_ + key, "is not known; known are " + all);
        }
    }

private:
    [[noreturn]] void refuse(const YAML::Node &at, const std::string &what, const std::string &why) const {
        // Lines of the block as it was handed over; the origin says where that begins.
        throw sdk::Failure(SANSOCK_EINVAL, origin_ + ": " + what + " " + why + " (line " +
                                               std::to_string(at.Mark().line + 1) + " of the block)");
    }

    YAML::Node node_;
    std::string path_;
    std::string origin_;
    std::set<std::string> known_;
};

std::optional<std::uint64_t> parse_count(const std::string &text) {
    std::uint64_t value = 0;
    return YAML::convert<std::uint64_t>::decode(YAML::Node(text), value) && text.front() != '-' ? std::optional(value)
                                                                                                : std::nullopt;
}

Simulation parse_simulation(Mapping block) {
    constexpr std::uint64_t kTenSeconds = 10'000'000'000;
    constexpr std::uint64_t kMegabit = 1'000'000 / 8;
    Simulation simulation;
    block.quantity("latency", simulation.latency_ns, 0, kTenSeconds, parse_duration,
                   "a duration of 0ns to 10s, such as 20us");
    block.quantity("bandwidth", simulation.bandwidth_bytes, kMegabit, kMegabit * 10'000'000, parse_bandwidth,
                   "a bandwidth of 1Mbit to 10000Gbit a second, such as 10Gbit");
    block.quantity("jitter", simulation.jitter_ns, 0, kTenSeconds, parse_duration,
                   "a duration of 0ns to 10s, such as 5us");
    block.quantity("fail_after_messages", simulation.fail_after_messages, 1, UINT64_MAX, parse_count,
                   "a number of messages, at least 1");
    block.quantity("seed", simulation.seed, 0, UINT64_MAX, parse_count, "a number, at least 0");
    block.with("completion_error_rate", [&](const YAML::Node &value) {
        double &rate = simulation.completion_error_rate;
        if (!YAML::convert<double>::decode(value, rate) || !(rate >= 0 && rate <= 1)) {
            block.wrong("completion_error_rate", value, "a number from 0 to 1, such as 0.01");
        }
    });
    block.with("unreceived", [&](const YAML::Node &value) {
        const std::string text = block.scalar("unreceived", value);
        if (text != "wait" && text != "fail") block.wrong("unreceived", value, "wait or fail");
        simulation.unreceived_fails = text == "fail";
    });
    block.refuse_unknown();
    return simulation;
}

}  // namespace

Settings parse_settings(const char *yaml, const char *origin) {
    Settings settings;
    try {
        Mapping root(YAML::Load(yaml), "", origin);
        root.with("options", [&](const YAML::Node &node) {
            Mapping options(node, "options.", origin);
            options.quantity("message_max", settings.message_bytes_max, kMessageBytesMin, kMessageBytesMax, parse_size,
                             "a size of 4 KiB to 1 MiB, such as 128 KiB");
            options.refuse_unknown();
        });
        root.with("simulation", [&](const YAML::Node &node) {
            settings.simulation = parse_simulation(Mapping(node, "simulation.", origin));
        });
        root.refuse_unknown();
    } catch (const YAML::Exception &error) {
        throw sdk::Failure(SANSOCK_EINVAL, std::string(origin) + ": the block is not YAML: " + error.what());
    }
    return settings;
}

}  // namespace sansock::simulated
