// What the tests of the configuration have in common.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace sansock::config {

inline constexpr const char *kOne = "11111111-1111-1111-1111-111111111111";
inline constexpr const char *kTwo = "22222222-2222-2222-2222-222222222222";

/// A host that does not depend on the machine: it has the plugins and users named here.
inline Host host_of_tests() {
    return {.has_plugin = [](std::string_view plugin) { return plugin == "simulated"; },
            .find_user = [](const std::string &name) -> std::optional<uid_t> {
                if (name == "redis") return 100;
                if (name == "www-data") return 33;
                return std::nullopt;
            }};
}

inline std::vector<std::string> formatted(const std::vector<Diagnostic> &diagnostics) {
    std::vector<std::string> out;
    for (const Diagnostic &one : diagnostics) out.push_back(one.format());
    return out;
}

/// What is wrong with a text, as printed; nothing for one that loads.
inline std::vector<std::string> errors_of(std::string_view text) {
    const auto loaded = load_text(text, "f", host_of_tests());
    return loaded.config ? std::vector<std::string>{} : formatted(loaded.config.error());
}

/// A file with one provider's block, which says this besides its plugin.
inline std::string with_provider(const std::string &line) {
    return std::string("providers:\n  ") + kOne + ":\n    plugin: simulated\n    " + line + '\n';
}

}  // namespace sansock::config
