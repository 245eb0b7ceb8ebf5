// What settings must be to each other.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <set>
#include <string>
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

using Routes = std::vector<const Route *>;

bool has_port(const Route &route, int port) {
    return route.ports.empty() ||
           std::ranges::any_of(route.ports, [&](const PortRange &range) { return range.contains(static_cast<std::uint16_t>(port)); });
}

/// Whether these routes together take every address of `later` at this port.
bool hold_destinations(const Routes &routes, const Route &later, int port) {
    std::vector<Subnet> taken;
    for (const Route *route : routes) {
        if (!has_port(*route, port)) continue;
        if (route->destinations.empty()) return true;
        taken.insert(taken.end(), route->destinations.begin(), route->destinations.end());
    }
    const auto &all = later.destinations.empty() ? kEverywhere : later.destinations;
    return std::ranges::all_of(all, [&](const Subnet &subnet) { return hold(taken, subnet); });
}

/// Whether these routes together take every address and port of `later`. They are tried at the ports where one of their ranges begins or
/// has ended: between those nothing changes.
bool hold_endpoints(const Routes &routes, const Route &later) {
    std::vector<PortRange> ranges = later.ports;
    if (ranges.empty()) ranges.emplace_back();
    std::set<int> ports;
    for (const PortRange &range : ranges) ports.insert(range.first);
    for (const Route *route : routes) {
        for (const PortRange &range : route->ports) {
            ports.insert(range.first);
            ports.insert(range.last + 1);
        }
    }
    return std::ranges::all_of(ports, [&](int port) {
        const bool is_wanted =
            std::ranges::any_of(ranges, [&](const PortRange &range) { return range.first <= port && port <= range.last; });
        return !is_wanted || hold_destinations(routes, later, port);
    });
}

/// Whether these routes together leave nothing to `later`.
bool cover(const Routes &earlier, const Route &later) {
    const auto hold_for = [&](const std::string *program) {
        Routes routes;
        std::ranges::copy_if(earlier, std::back_inserter(routes), [&](const Route *route) {
            return route->programs.empty() || (program != nullptr && std::ranges::find(route->programs, *program) != route->programs.end());
        });
        return hold_endpoints(routes, later);
    };
    // Names never make up every program: what is for all is taken only by what is for all.
    if (later.programs.empty()) return hold_for(nullptr);
    return std::ranges::all_of(later.programs, [&](const std::string &program) { return hold_for(&program); });
}

bool meet(const PortRange &one, const PortRange &other) { return one.first <= other.last && other.first <= one.last; }
bool meet(const Subnet &one, const Subnet &other) { return one.contains(other) || other.contains(one); }

/// Whether the lists have something in common; an empty one holds everything.
template <class T>
bool meet(const std::vector<T> &one, const std::vector<T> &other) {
    if (one.empty() || other.empty()) return true;
    return std::ranges::any_of(one,
                               [&](const T &each) { return std::ranges::any_of(other, [&](const T &its) { return meet(each, its); }); });
}

/// Finds routes that can never match.
void check_order(Reading &reading) {
    const auto &routes = reading.config.routes;
    Routes earlier;
    for (std::size_t i = 0; i < routes.size(); ++i) {
        if (i >= reading.facts.size() || !reading.facts[i].sound) continue;
        Routes near;  // The others take nothing from it, and a file may have thousands.
        std::ranges::copy_if(earlier, std::back_inserter(near), [&](const Route *route) {
            return meet(route->ports, routes[i].ports) && meet(route->destinations, routes[i].destinations);
        });
        const auto one = std::ranges::find_if(near, [&](const Route *route) { return cover({route}, routes[i]); });
        if (one != near.end() || cover(near, routes[i])) {
            const std::string by = one != near.end() ? fmt::format("the one in line {} covers it", (*one)->position.line)
                                                     : "those before it together cover it";
            reading.errors.push_back(
                {routes[i].position,
                 fmt::format("this route can never match, {}; allowed: routes from the particular to the general", by)});
        }
        earlier.push_back(&routes[i]);
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

/// Such a route resets what it cannot move, which on this host is everything.
void note_required(Reading &reading, const Route &route, const Host &host) {
    if (route.policy != Policy::require || !host.has_plugin) return;
    const bool some = std::ranges::any_of(route.providers, [&](const Guid &guid) {
        const Provider *provider = reading.config.find(guid);
        return provider != nullptr && host.has_plugin(provider->plugin);
    });
    if (!some) reading.notes.push_back({route.position, "no provider of this required route is installed: its connections fail here"});
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
    for (const Route &route : config.routes) note_required(reading, route, host);
}

}  // namespace sansock::config
