// All processes read their configuration anew.
#pragma once
#include <string>
#include <vector>

#include "control/agents.hpp"
#include "control/management_types.h"

namespace sansock::control {

/// What is wrong with the configuration files of all processes, as far as the daemon may open them; empty: nothing.
[[nodiscard]] std::string faults_of_files(Agents &agents);

/// Returns when all have answered, or after a while with what is known then.
std::vector<wire::Reloaded> reload(Agents &agents, bool live);

}  // namespace sansock::control
