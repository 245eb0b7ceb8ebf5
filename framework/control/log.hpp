// The daemon's log.
#pragma once
#include <string>

namespace sansock::control {

inline constexpr const char *kLogLevels = "error, warning, info, debug";

/// To standard error, or to journald with the names of its levels.
void open_log(bool journald);
/// False: there is no such level.
bool set_log_level(const std::string &level);

}  // namespace sansock::control
