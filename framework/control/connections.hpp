// The processes and connections of a host as operators see them.
#pragma once
#include <sys/types.h>

#include "control/agents.hpp"
#include "control/management_types.h"

namespace sansock::control {

/// What the boards say now, of the caller's own processes or of all; `status` is empty before.
void read_status(Agents &agents, uid_t caller, bool sees_all, wire::Status &status);

}  // namespace sansock::control
