#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "config/describe.hpp"
#include "config/setting.hpp"

namespace sansock::config {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char *kGuidPattern =
    "^(\\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\\}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$";

Json text_like(const char *pattern) { return {{"type", "string"}, {"pattern", pattern}}; }

/// One value of this kind.
Json schema_of_value(const Setting &setting) {
    switch (setting.kind) {
        case Kind::integer: return {{"type", "integer"}, {"minimum", setting.min}, {"maximum", setting.max}};
        case Kind::size:
            return {{"anyOf",
                     {{{"type", "integer"}, {"minimum", setting.min}, {"maximum", setting.max}},
                      text_like("^(0|[1-9][0-9]*) *(KiB|MiB|GiB)?$")}}};
        case Kind::duration: return {{"anyOf", {{{"const", 0}}, text_like("^(0|[1-9][0-9]*) *(ns|us|ms|s)$")}}};
        case Kind::choice: return {{"enum", std::vector<std::string>(setting.choices.begin(), setting.choices.end())}};
        case Kind::plugin_name: return text_like("^[A-Za-z0-9_-]+$");
        case Kind::log_target: return text_like("^(stderr|/.*[^/])$");
        case Kind::block: return {{"type", "object"}};
        case Kind::subnets: return text_like("^[0-9A-Fa-f:.]+(/[0-9]+)?$");
        case Kind::ports: return {{"anyOf", {{{"type", "integer"}, {"minimum", 1}, {"maximum", 65535}}, text_like("^[0-9]+(-[0-9]+)?$")}}};
        case Kind::programs: return text_like("^[^/]+$");
        case Kind::guids: return text_like(kGuidPattern);
        case Kind::user_groups: return {{"type", "array"}, {"minItems", 2}, {"items", {{"type", {"string", "integer"}}}}};
        default: std::unreachable();
    }
}

Json schema_of_scope(std::string_view scope);

Json schema_of(const Setting &setting) {
    Json out{{"description", setting.summary}};
    switch (setting.kind) {
        case Kind::group:
            // An empty group reads as null.
            out.update(schema_of_scope(setting.child_scope()));
            out["type"] = {"object", "null"};
            return out;
        case Kind::guid_map:
            out["type"] = "object";
            out["patternProperties"] = {{kGuidPattern, schema_of_scope(setting.child_scope())}};
            out["additionalProperties"] = false;
            return out;
        case Kind::sequence:
            out["type"] = "array";
            out["items"] = schema_of_scope(setting.child_scope());
            return out;
        case Kind::user_groups:
            out["type"] = "array";
            out["items"] = schema_of_value(setting);
            return out;
        default: break;
    }
    const Json value = schema_of_value(setting);
    if (takes_list(setting.kind)) {
        out["anyOf"] = {value, {{"type", "array"}, {"minItems", 1}, {"items", value}}};
    } else {
        out.update(value);
    }
    if (!setting.fallback.empty()) {
        out["default"] = Json::accept(setting.fallback) ? Json::parse(setting.fallback) : Json(setting.fallback);
    }
    return out;
}

Json schema_of_scope(std::string_view scope) {
    Json out{{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
    for (const Setting *setting : settings_in(scope)) {
        out["properties"][std::string(setting->name)] = schema_of(*setting);
        if (setting->required) out["required"].push_back(setting->name);
    }
    return out;
}

}  // namespace

std::string schema() {
    Json out{{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "sansock configuration"}};
    out.update(schema_of_scope(""));
    out["type"] = {"object", "null"};
    return out.dump(2) + '\n';
}

}  // namespace sansock::config
