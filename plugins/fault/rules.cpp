#include "rules.hpp"

#include <algorithm>

#include "common/yaml_block.hpp"

namespace sansock::fault {
namespace {

using plugins::parse_count;
using plugins::YamlMapping;

constexpr std::array kStatuses{SANSOCK_EPERM,    SANSOCK_EIO,       SANSOCK_EAGAIN,    SANSOCK_ENOMEM,   SANSOCK_ENODEV,
                               SANSOCK_EINVAL,   SANSOCK_ENOSPC,    SANSOCK_EPROTO,    SANSOCK_EMSGSIZE, SANSOCK_ENOTSUP,
                               SANSOCK_ENOTCONN, SANSOCK_ETIMEDOUT, SANSOCK_ECONNRESET};

std::string list(const auto &names) {
    std::string all;
    for (const std::string_view each : names) all.append(all.empty() ? "" : ", ").append(each);
    return all;
}

/// Each answers nothing when it has found fault.
std::optional<Call> parse_call(YamlMapping &rule, const YAML::Node &value, const std::string &text) {
    const auto found = std::ranges::find(kCalls, text);
    if (found != kCalls.end()) return static_cast<Call>(found - kCalls.begin());
    rule.wrong("call", value, "one of " + list(kCalls));
    return std::nullopt;
}

std::optional<Effect> parse_effect(YamlMapping &rule, const YAML::Node &value, const std::string &text, Call call) {
    if (text == "error") return Effect::error;
    const bool names_an_endpoint = call == Call::post_send || call == Call::post_receive || call == Call::completion;
    if (names_an_endpoint && text == "fail") return Effect::fail;
    if (names_an_endpoint && text == "silence") return Effect::silence;
    rule.wrong("result", value, names_an_endpoint ? "error, fail or silence" : "error, the only one for this call");
    return std::nullopt;
}

std::optional<std::int32_t> parse_status(YamlMapping &rule, const YAML::Node &value, const std::string &text) {
    const auto found = std::ranges::find(kStatuses, text, sansock_status_name);
    if (found != kStatuses.end()) return *found;
    std::array<std::string_view, kStatuses.size()> names;
    std::ranges::transform(kStatuses, names.begin(), sansock_status_name);
    rule.wrong("status", value, "one of " + list(names));
    return std::nullopt;
}

void parse_rule(YamlMapping rule, std::deque<Rule> &rules) {
    bool has_call = false, has_result = false;
    std::optional<Call> call;
    Rule &parsed = rules.emplace_back(Call::open, 0, UINT64_MAX, Verdict{Effect::none, SANSOCK_EIO});
    rule.with("call", [&](const YAML::Node &) { has_call = true; });
    rule.with_text("call", [&](const YAML::Node &value, const std::string &text) {
        call = parse_call(rule, value, text);
        parsed.call = call.value_or(parsed.call);
    });
    if (!has_call) rule.missing("call", "one of " + list(kCalls));
    rule.with("result", [&](const YAML::Node &) { has_result = true; });
    rule.with_text("result", [&](const YAML::Node &value, const std::string &text) {
        if (!call) return;  // which is at fault already
        if (const auto effect = parse_effect(rule, value, text, *call)) parsed.verdict.effect = *effect;
    });
    if (!has_result) rule.missing("result", "what becomes of the call, such as error");
    rule.with_text("status", [&](const YAML::Node &value, const std::string &text) {
        if (const auto status = parse_status(rule, value, text)) parsed.verdict.status = *status;
    });
    rule.quantity("after", parsed.after, 0, UINT64_MAX, parse_count, "a number of calls that still work");
    rule.quantity("times", parsed.times, 1, UINT64_MAX, parse_count, "a number of calls that fail, at least 1");
    rule.refuse_unknown();
}

/// The block for the wrapped plugin, put together from what stands in ours.
class WrappedBlock {
public:
    void add(const char *key, const YAML::Node &value) { block_[key] = value; }
    [[nodiscard]] std::string text() const { return block_.IsNull() ? std::string() : YAML::Dump(block_); }

private:
    YAML::Node block_;
};

}  // namespace

Settings parse_settings(const char *yaml, const char *origin) {
    Settings settings;
    WrappedBlock wrapped;
    plugins::read_yaml_block(yaml, origin, [&](YamlMapping &root) {
        root.with("options", [&](const YAML::Node &node) {
            YamlMapping options = root.child("options", node);
            options.with_text("wraps", [&](const YAML::Node &, const std::string &text) { settings.wraps = text; });
            options.with("options", [&](const YAML::Node &value) { wrapped.add("options", value); });
            options.with("faults", [&](const YAML::Node &faults) {
                if (!faults.IsSequence()) return options.refuse("faults", faults, "must be a list");
                for (const YAML::Node &each : faults) parse_rule(options.child("faults", each), settings.rules);
            });
            options.refuse_unknown();
        });
        for (const char *key : {"rdma_threshold", "simulation"}) root.with(key, [&](const YAML::Node &value) { wrapped.add(key, value); });
        if (settings.wraps.empty()) root.missing("options.wraps", "the name of the plugin to wrap");
    });
    settings.wrapped_yaml = wrapped.text();
    return settings;
}

Verdict judge(std::deque<Rule> &rules, Call call) noexcept {
    Verdict verdict;
    for (Rule &rule : rules) {
        if (rule.call != call) continue;
        const std::uint64_t number = rule.seen.fetch_add(1, std::memory_order_relaxed);
        const bool applies = number >= rule.after && number - rule.after < rule.times;
        if (applies && verdict.effect == Effect::none) verdict = rule.verdict;
    }
    return verdict;
}

}  // namespace sansock::fault
