// Whether a file can be a plugin's library at all.
//
// The dynamic loader maps what the headers promise and trusts it: a file cut short by a full disk ends in SIGBUS inside
// dlopen, in somebody else's program. So the promises are compared with the file's length first.
#pragma once
#include <filesystem>

#include "base/result.hpp"

namespace sansock::plugin {

/// Succeeds for a shared library of this machine's kind whose loadable parts all lie inside the file.
[[nodiscard]] Result<void> check_shared_library(const std::filesystem::path &file);

}  // namespace sansock::plugin
