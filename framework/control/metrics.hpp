// What the daemon tells Prometheus. docs/operating.md lists it.
#pragma once
#include <string>

#include "control/agents.hpp"

namespace sansock::control {

/// As Exposition makes it, of all processes.
[[nodiscard]] std::string metrics(Agents &agents);

}  // namespace sansock::control
