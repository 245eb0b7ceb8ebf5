#include "socket/launch.hpp"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

namespace sansock::socket {
namespace {

Launch at_start;

/// A value that does not fit is no value: half a path would name another file.
template <size_t size>
void keep(char (&to)[size], const char *value) {
    if (value != nullptr && strlen(value) < size) strcpy(to, value);
}

__attribute__((constructor)) void look() {
    strncpy(at_start.program, program_invocation_short_name, sizeof at_start.program - 1);
    keep(at_start.config, secure_getenv("SANSOCK_CONFIG"));
    keep(at_start.report, secure_getenv("SANSOCK_REPORT"));
    const char *require = secure_getenv("SANSOCK_REQUIRE");
    at_start.require = require == nullptr ? Launch::kUnknown : strcmp(require, "0") == 0 ? Launch::kNo : Launch::kYes;
    keep(at_start.control, secure_getenv("SANSOCK_CONTROL"));
    keep(at_start.plugin_path, secure_getenv("SANSOCK_PLUGIN_PATH"));
}

}  // namespace

const Launch &launch() { return at_start; }

}  // namespace sansock::socket
