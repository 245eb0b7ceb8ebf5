#include <algorithm>

#include "config/config.hpp"

namespace sansock::config {
namespace {

template <class List, class Predicate>
bool empty_or_any(const List &list, Predicate predicate) {
    return list.empty() || std::ranges::any_of(list, predicate);
}

}  // namespace

const Provider *Config::find(const Guid &guid) const {
    const auto found = std::ranges::find(providers, guid, &Provider::guid);
    return found == providers.end() ? nullptr : &*found;
}

const Route *match(const Config &config, const Endpoint &server, std::string_view program) {
    const auto covers = [&](const Route &route) {
        return empty_or_any(route.destinations, [&](const Subnet &subnet) { return subnet.contains(server.address); }) &&
               empty_or_any(route.ports, [&](const PortRange &range) { return range.contains(server.port); }) &&
               empty_or_any(route.programs, [&](const std::string &name) { return name == program; });
    };
    const auto found = std::ranges::find_if(config.routes, covers);
    return found == config.routes.end() ? nullptr : &*found;
}

bool may_share(const Config &config, uid_t one, uid_t other) {
    if (one == other) return true;
    return std::ranges::any_of(config.access.allow, [&](const std::vector<User> &group) {
        const auto holds = [&](uid_t uid) { return std::ranges::any_of(group, [&](const User &user) { return user.uid == uid; }); };
        return holds(one) && holds(other);
    });
}

bool requires_upgrade(const Config &config) {
    return std::ranges::any_of(config.routes, [](const Route &route) { return route.policy == Policy::require; });
}

}  // namespace sansock::config
