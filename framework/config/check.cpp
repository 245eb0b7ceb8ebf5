// What settings must be to each other.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "config/reader.hpp"

namespace sansock::config {
namespace {

/// Whether these subnets together hold all of `subnet`: one of them does, or the two halves are held.
bool hold(const std::vector<Subnet> &subnets, const Subnet &subnet) {
    if (std::ranges::any_of(subnets, [&](const Subnet &one) { return one.contains(subnet); })) return true;
    if (std::ranges::none_of(subnets, [&](const Subnet &one) { return subnet.contains(one); })) return false;
    Subnet low{subnet.base, subnet.prefix + 1};
    Subnet high = low;
    high.base.bytes[subnet.prefix / 8] |= static_cast<std::uint8_t>(0x80u >> subnet.prefix % 8);
    return hold(subnets, low) && hold(subnets, high);
}

const std::vector<Subnet> kEverywhere{Subnet{Address{.is_v6 = false}, 0}, Subnet{Address{.is_v6 = true}, 0}};

bool covers_destinations(const Route &earlier, const Route &later) {
    const auto &all = later.destinations.empty() ? kEverywhere : later.destinations;
    return earlier.destinations.empty() ||
           std::ranges::all_of(all, [&](const Subnet &subnet) { return hold(earlier.destinations, subnet); });
}

/// Whether these ranges, which are in order, together hold all of `range`.
bool hold(const std::vector<PortRange> &ranges, const PortRange &range) {
    int next = range.first;
    for (const PortRange &one : ranges)
        if (one.first <= next && next <= one.last) next = one.last + 1;
    return next > range.last;
}

bool covers_ports(const Route &earlier, const Route &later) {
    if (earlier.ports.empty()) return true;
    auto ranges = earlier.ports;
    std::ranges::sort(ranges);
    if (later.ports.empty()) return hold(ranges, PortRange{});
    return std::ranges::all_of(later.ports, [&](const PortRange &range) { return hold(ranges, range); });
}

bool covers_programs(const Route &earlier, const Route &later) {
    if (earlier.programs.empty()) return true;
    return !later.programs.empty() && std::ranges::all_of(later.programs, [&](const std::string &program) {
        return std::ranges::find(earlier.programs, program) != earlier.programs.end();
    });
}

bool covers(const Route &earlier, const Route &later) {
    return covers_destinations(earlier, later) && covers_ports(earlier, later) && covers_programs(earlier, later);
}

/// Finds routes that can never match. Programs and ports are compared with those of one earlier route at a time:
/// that several routes together leave nothing to a later one is not seen.
void check_order(Reading &reading) {
    const auto &routes = reading.config.routes;
    for (std::size_t later = 0; later < routes.size(); ++later) {
        for (std::size_t earlier = 0; earlier < later && reading.facts[later].sound; ++earlier) {
            if (!reading.facts[earlier].sound || !covers(routes[earlier], routes[later])) continue;
            reading.errors.push_back(
                {routes[later].position, fmt::format("this route can never match, the one in line {} covers it; allowed: routes from the "
                                                     "particular to the general",
                                                     routes[earlier].position.line)});
            break;
        }
    }
}

void check_references(Reading &reading, const RouteFacts &facts) {
    std::set<Guid> seen;
    for (const auto &[guid, position] : facts.references) {
        if (reading.providers_known && reading.config.find(guid) == nullptr) {
            reading.errors.push_back({position, fmt::format("provider {} has no block; allowed: a GUID from providers", guid.text())});
        }
        if (!seen.insert(guid).second) {
            reading.errors.push_back({position, fmt::format("provider {} is named twice in one route; once is allowed", guid.text())});
        }
    }
}

void check_policy(Reading &reading, const Route &route, const RouteFacts &facts) {
    if (!facts.sound) return;
    if (route.policy == Policy::forbid && facts.names_providers) {
        reading.errors.push_back(
            {facts.references.front().position, "providers mean nothing with policy forbid; allowed: no providers, or another policy"});
    }
    if (route.policy != Policy::forbid && !facts.names_providers) {
        reading.errors.push_back({route.position, "providers is missing; allowed: a list of GUIDs, or policy forbid without any"});
    }
}

/// A connection that cannot have all its buffers would never leave TCP.
void check_memory(Reading &reading, const Provider &provider) {
    const std::uint32_t buffers = provider.send_buffers + provider.receive_buffers;
    const std::uint64_t needed = std::uint64_t{provider.buffer_size} * buffers;
    if (provider.max_memory >= needed) return;
    reading.errors.push_back(
        {provider.position, fmt::format("max_memory of {} does not hold the {} buffers of one connection; allowed: {} or more",
                                        size_text(provider.max_memory), buffers, size_text(needed))});
}

void note_plugin(Reading &reading, const Provider &provider, const Host &host) {
    if (!host.has_plugin || host.has_plugin(provider.plugin)) return;
    reading.notes.push_back({provider.position, fmt::format("plugin \"{}\" is not installed; the block is kept, and "
                                                            "connections pass this provider over",
                                                            provider.plugin)});
}

void note_unused(Reading &reading, const Provider &provider) {
    const bool used = std::ranges::any_of(reading.config.routes, [&](const Route &route) {
        return std::ranges::find(route.providers, provider.guid) != route.providers.end();
    });
    if (!used) reading.notes.push_back({provider.position, "no route names this provider"});
}

}  // namespace

void check_together(Reading &reading, const Host &host) {
    const Config &config = reading.config;
    for (std::size_t i = 0; i < reading.facts.size(); ++i) {
        check_references(reading, reading.facts[i]);
        check_policy(reading, config.routes[i], reading.facts[i]);
    }
    for (std::size_t i = 0; i < config.providers.size(); ++i) {
        if (!reading.provider_sound[i]) continue;
        check_memory(reading, config.providers[i]);
        note_plugin(reading, config.providers[i], host);
    }
    check_order(reading);
    if (!reading.errors.empty()) return;
    for (const Provider &provider : config.providers) note_unused(reading, provider);
}

}  // namespace sansock::config
