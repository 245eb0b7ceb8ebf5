// Names that processes give, where they become labels of metrics or columns: no longer or other than such a name can be.
#pragma once
#include <algorithm>
#include <string>

#include "config/guid.hpp"

namespace sansock::control {

inline std::string plugin_name(std::string name) {
    const auto is_of_name = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    };
    return name.size() <= 32 && std::ranges::all_of(name, is_of_name) ? name : "unknown";
}

/// Empty: it is none.
inline std::string guid_name(const std::string &name) {
    const auto guid = config::Guid::parse(name);
    return guid ? guid->text() : std::string();
}

}  // namespace sansock::control
