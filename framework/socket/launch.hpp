// What the process was started with. Read when the library is loaded, before the program can change it: nginx clears its
// environment, PostgreSQL writes its title over its arguments, and both do so before their first connection.
#pragma once

namespace sansock::socket {

/// Empty strings: not given.
struct Launch {
    char program[64];
    char config[4096];  ///< SANSOCK_CONFIG: the configuration file.
    char report[4096];  ///< SANSOCK_REPORT: where to append a line for every connection.
    enum Require : char { kUnknown = 0, kNo, kYes };
    Require require;         ///< SANSOCK_REQUIRE: whether some route says `require`.
    char control[96];        ///< SANSOCK_CONTROL: the directory in which sansockd listens.
    char plugin_path[4096];  ///< SANSOCK_PLUGIN_PATH: directories of manifests, separated by colons.
};

const Launch &launch();

}  // namespace sansock::socket
