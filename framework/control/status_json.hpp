// The status of a host as JSON, with the names of reports.
#pragma once
#include <string>

#include "control/management_types.h"

namespace sansock::control {

[[nodiscard]] std::string status_json(const wire::Status &status);

}  // namespace sansock::control
