// The operator's YAML block, read with errors that say where and what is allowed.
#pragma once
#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <optional>
#include <sansock/sdk/cpp/failure.hpp>
#include <set>
#include <string>

namespace sansock::plugins {

/// One mapping of the block. It knows where it stands and what was asked for, and so which keys nobody knows.
class YamlMapping {
public:
    /// `path` is what stands before the key in texts: empty, or for example "simulation.".
    YamlMapping(YAML::Node node, std::string path, std::string origin)
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

    /// Sets `into` to the value as `parse` understands it, within bounds, if the key is there. `allowed` finishes
    /// "write ...".
    template <class Parse>
    void quantity(const std::string &key, std::uint64_t &into, std::uint64_t min, std::uint64_t max, Parse &&parse,
                  const char *allowed) {
        with(key, [&](const YAML::Node &value) {
            const std::optional<std::uint64_t> parsed = parse(scalar(key, value));
            if (!parsed || *parsed < min || *parsed > max) wrong(key, value, allowed);
            into = *parsed;
        });
    }

    [[nodiscard]] std::string scalar(const std::string &key, const YAML::Node &value) const {
        if (!value.IsScalar()) refuse(value, path_ + key, "must be a single value");
        return value.Scalar();
    }

    [[noreturn]] void wrong(const std::string &key, const YAML::Node &value, const std::string &allowed) const {
        refuse(value, path_ + key, "is '" + scalar(key, value) + "'; write " + allowed);
    }

    [[noreturn]] void missing(const std::string &key, const std::string &what) const {
        refuse(node_, path_ + key, "is missing; write " + what);
    }

    [[noreturn]] void refuse(const YAML::Node &at, const std::string &what, const std::string &why) const {
        std::string text = origin_ + ": " + what + " " + why;
        // Lines of the block as it was handed over; the origin says where that begins.
        if (!at.Mark().is_null()) text += " (line " + std::to_string(at.Mark().line + 1) + " of the block)";
        throw sdk::Failure(SANSOCK_EINVAL, text);
    }

    /// After all keys were asked for.
    void refuse_unknown() const {
        if (!node_.IsMap()) return;
        std::set<std::string> seen;
        for (const auto &member : node_) {
            const std::string key = scalar("a key", member.first);
            if (!seen.insert(key).second) refuse(member.first, path_ + key, "is given twice");
            if (known_.contains(key)) continue;
            std::string all;
            for (const std::string &each : known_) all += (all.empty() ? "" : ", ") + each;
            refuse(member.first, path_ + key, "is not known; known are " + all);
        }
    }

private:
    YAML::Node node_;
    std::string path_;
    std::string origin_;
    std::set<std::string> known_;
};

/// A number without sign or unit.
[[nodiscard]] inline std::optional<std::uint64_t> parse_count(const std::string &text) {
    std::uint64_t value = 0;
    if (text.starts_with('-') || !YAML::convert<std::uint64_t>::decode(YAML::Node(text), value)) return std::nullopt;
    return value;
}

/// Calls `use` with the block's outermost mapping, and turns what is wrong with the YAML itself into a Failure.
template <class Use>
void read_yaml_block(const char *yaml, const char *origin, Use &&use) {
    try {
        YamlMapping root(YAML::Load(yaml), "", origin);
        use(root);
        root.refuse_unknown();
    } catch (const YAML::Exception &error) {
        throw sdk::Failure(SANSOCK_EINVAL, std::string(origin) + ": the block is not YAML: " + error.what());
    }
}

}  // namespace sansock::plugins
