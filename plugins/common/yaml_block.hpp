// The operator's YAML block, read with errors that say where and what is allowed: all of them at once, as far as a plugin's error has room.
#pragma once
#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <sansock/sdk/cpp/failure.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace sansock::plugins {

/// What is wrong with a block, in the order in which it was found.
class YamlFaults {
public:
    /// `origin` is where the block begins, such as "/etc/sansock.yaml:12".
    explicit YamlFaults(std::string_view origin) : origin_(origin) {
        const std::size_t colon = origin.rfind(':');
        if (colon == std::string_view::npos) return;
        const char *end = origin.data() + origin.size();
        const auto [rest, error] = std::from_chars(origin.data() + colon + 1, end, first_line_);
        if (error == std::errc() && rest == end) file_ = origin.substr(0, colon);
    }

    void add(const YAML::Mark &at, const std::string &text) {
        // The block was handed over with its lines where they are in the file.
        const bool has_place = !file_.empty() && !at.is_null();
        texts_.push_back((has_place ? file_ + ":" + std::to_string(first_line_ + at.line) : origin_) + ": " + text);
    }

    void throw_if_any() const {
        if (texts_.empty()) return;
        std::string all;
        for (std::size_t i = 0; i < texts_.size(); ++i) {
            const std::string more = "\nand " + std::to_string(texts_.size() - i) + " more";
            if (i > 0 && all.size() + 1 + texts_[i].size() + more.size() >= SANSOCK_ERROR_TEXT_MAX) {
                all += more;
                break;
            }
            all += (i == 0 ? "" : "\n") + texts_[i];
        }
        throw sdk::Failure(SANSOCK_EINVAL, all);
    }

private:
    std::string origin_, file_;
    int first_line_ = 0;
    std::vector<std::string> texts_;
};

/// One mapping of the block. It knows where it stands and what was asked for, and so which keys nobody knows.
class YamlMapping {
public:
    /// `path` is what stands before the key in texts: empty, or for example "simulation.".
    YamlMapping(YAML::Node node, std::string path, YamlFaults &faults) : node_(std::move(node)), path_(std::move(path)), faults_(faults) {
        if (node_.IsMap() || node_.IsNull()) return;
        faults_.add(node_.Mark(), (path_.empty() ? "the block" : path_.substr(0, path_.size() - 1)) + " must be a mapping");
    }

    /// The mapping below `key`.
    [[nodiscard]] YamlMapping child(const std::string &key, const YAML::Node &value) const { return {value, path_ + key + ".", faults_}; }

    /// Calls `use` with the key's node, if the key is there.
    template <class Use>
    void with(const std::string &key, Use &&use) {
        known_.insert(key);
        if (!node_.IsMap()) return;
        if (const YAML::Node value = node_[key]) use(value);
    }

    /// Calls `use` with the key's text, if the key is there and has one value.
    template <class Use>
    void with_text(const std::string &key, Use &&use) {
        with(key, [&](const YAML::Node &value) {
            if (value.IsScalar()) {
                use(value, value.Scalar());
            } else {
                refuse(key, value, "must be a single value");
            }
        });
    }

    /// Sets `into` to the value as `parse` understands it, within bounds, if the key is there. `allowed` finishes
    /// "write ...".
    template <class Parse>
    void quantity(const std::string &key, std::uint64_t &into, std::uint64_t min, std::uint64_t max, Parse &&parse, const char *allowed) {
        with_text(key, [&](const YAML::Node &value, const std::string &text) {
            const std::optional<std::uint64_t> parsed = parse(text);
            if (!parsed || *parsed < min || *parsed > max) return wrong(key, value, allowed);
            into = *parsed;
        });
    }

    void wrong(const std::string &key, const YAML::Node &value, const std::string &allowed) const {
        refuse(key, value, "is '" + value.Scalar() + "'; write " + allowed);
    }

    void missing(const std::string &key, const std::string &what) const { refuse(key, node_, "is missing; write " + what); }

    void refuse(const std::string &key, const YAML::Node &at, const std::string &why) const {
        faults_.add(at.Mark(), path_ + key + " " + why);
    }

    /// After all keys were asked for.
    void refuse_unknown() const {
        if (!node_.IsMap()) return;
        std::set<std::string> seen;
        for (const auto &member : node_) {
            if (!member.first.IsScalar()) {
                refuse("a key", member.first, "must be a single value");
                continue;
            }
            const std::string key = member.first.Scalar();
            if (!seen.insert(key).second) refuse(key, member.first, "is given twice");
            if (known_.contains(key)) continue;
            std::string all;
            for (const std::string &each : known_) all += (all.empty() ? "" : ", ") + each;
            refuse(key, member.first, "is not known; known are " + all);
        }
    }

private:
    YAML::Node node_;
    std::string path_;
    YamlFaults &faults_;
    std::set<std::string> known_;
};

/// A number without sign or unit.
[[nodiscard]] inline std::optional<std::uint64_t> parse_count(const std::string &text) {
    std::uint64_t value = 0;
    if (text.starts_with('-') || !YAML::convert<std::uint64_t>::decode(YAML::Node(text), value)) return std::nullopt;
    return value;
}

/// Calls `use` with the block's outermost mapping. What is wrong with it, or with the YAML itself, becomes a Failure.
template <class Use>
void read_yaml_block(const char *yaml, const char *origin, Use &&use) {
    YamlFaults faults(origin);
    try {
        YamlMapping root(YAML::Load(yaml), "", faults);
        use(root);
        root.refuse_unknown();
    } catch (const YAML::Exception &error) {
        throw sdk::Failure(SANSOCK_EINVAL, std::string(origin) + ": the block is not YAML: " + error.what());
    }
    faults.throw_if_any();
}

}  // namespace sansock::plugins
