#include "control/status_json.hpp"

#include <nlohmann/json.hpp>

namespace sansock::control {
namespace {

nlohmann::json json_of(const wire::Connection &c) {
    const auto or_null = [](const std::string &text) { return text.empty() ? nlohmann::json() : nlohmann::json(text); };
    return {{"pid", c.pid},
            {"program", c.program},
            {"role", c.role},
            {"local", or_null(c.local)},
            {"peer", or_null(c.peer)},
            {"provider", or_null(c.provider)},
            {"path", c.path},
            {"reason", or_null(c.reason)},
            {"detail", or_null(c.detail)},
            {"bytes_sent", {{"tcp", c.sent_tcp}, {"provider", c.sent_provider}}},
            {"bytes_received", {{"tcp", c.received_tcp}, {"provider", c.received_provider}}},
            {"upgrades", c.upgrades},
            {"step_backs", c.step_backs},
            {"window", c.window},
            {"kept", c.kept},
            {"buffers", {{"held", c.buffers_held}, {"max", c.buffers_max}, {"full", c.full}}},
            {"state", c.state},
            {"holders", c.holders}};
}

nlohmann::json json_of(const wire::Process &p) {
    return {{"pid", p.pid},
            {"uid", p.uid},
            {"program", p.program},
            {"version", p.version},
            {"config", p.config.empty() ? nlohmann::json() : nlohmann::json(p.config)},
            {"connections", p.connections},
            {"on_provider", p.on_provider}};
}

nlohmann::json json_of(const wire::Hosts &h) {
    return {{"where", h.where},
            {"name", h.name},
            {"valid_until", h.valid_until},
            {"connections", h.connections},
            {"asked", h.asked},
            {"unreachable", h.unreachable}};
}

}  // namespace

std::string status_json(const wire::Status &status) {
    nlohmann::json all{{"version", status.version}, {"hidden_processes", status.hidden_processes}};
    all["hosts"] = status.__isset.hosts ? json_of(status.hosts) : nlohmann::json();
    all["processes"] = nlohmann::json::array();
    all["connections"] = nlohmann::json::array();
    for (const auto &process : status.processes) all["processes"].push_back(json_of(process));
    for (const auto &connection : status.connections) all["connections"].push_back(json_of(connection));
    return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace sansock::control
