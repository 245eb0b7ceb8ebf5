// One JSON line per connection for `sansock run --report`.
#pragma once
#include "socket/connection.hpp"

namespace sansock::socket {

/// Appends the line of a connection that ends here. Nothing happens without SANSOCK_REPORT.
void report_connection(Connection &connection);
/// The lines of all connections that are open while the process ends.
void report_all();

}  // namespace sansock::socket
