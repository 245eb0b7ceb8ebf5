// Asking sansockd.
#pragma once
#include <functional>
#include <string>

#include "base/result.hpp"
#include "control/Management.h"

namespace sansock::control {

/// Calls the daemon whose sockets are in `directory`; empty: the usual one. Fails with ENOENT where none runs.
Result<void> ask(const std::string &directory, const std::function<void(wire::ManagementClient &)> &what);

}  // namespace sansock::control
