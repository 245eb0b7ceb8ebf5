// Walks a document along the table of settings.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "config/document.hpp"
#include "config/load.hpp"
#include "config/setting.hpp"

namespace sansock::config {

/// A provider that a route names.
struct Reference {
    Guid guid;
    Position position;
};

/// What is known about a route, besides the route. A block is sound when nothing in it is wrong: comparing what was
/// read of an unsound one with others would report the same fault twice.
struct RouteFacts {
    std::vector<Reference> references;
    bool names_providers = false;
    bool sound = true;
};

/// What a document says, and what is wrong with it.
struct Reading {
    Config config;
    std::vector<bool> provider_sound;  ///< For each provider.
    std::vector<RouteFacts> facts;     ///< For each route.
    bool has_providers = false;        ///< Whether the file says anything about them.
    bool has_routes = false;
    bool providers_known = true;  ///< False when a GUID could not be read: it may be one that routes name.
    std::vector<Fault> errors;
    std::vector<Fault> notes;
};

[[nodiscard]] Reading read_document(const Node &document, const Host &host);

/// A route as it is when a file gives no more than its providers.
[[nodiscard]] Route default_route(const Config &config);

/// What the settings must be to each other: references, routes in each other's way, memory. Adds to the findings.
void check_together(Reading &reading, const Host &host);

}  // namespace sansock::config
