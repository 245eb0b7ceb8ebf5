// What operators may ask the daemon, and who may.
#pragma once
#include <sys/types.h>
#include <thrift/server/TServer.h>

#include <memory>
#include <string>

#include "control/agents.hpp"
#include "control/drained.hpp"

namespace sansock::control {

struct Access {
    gid_t group = static_cast<gid_t>(-1);  ///< Its members may see and change all, as root and the daemon's own user may; -1: no group's.
};

/// A server of `management.thrift` on a Unix socket of this path, with the mode 0666: who may do what is decided by the caller's user.
std::unique_ptr<apache::thrift::server::TServer> make_management_server(const std::string &path, Agents &agents, Drained &drained,
                                                                        const Access &access);

}  // namespace sansock::control
