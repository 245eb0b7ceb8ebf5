// A server's frame: one thread per connection, and an orderly end on SIGTERM or SIGINT. It suits a handful of busy
// connections; the echo sample shows how one thread serves many with epoll.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "common/network.hpp"
#include "common/socket.hpp"

namespace samples {

/// A descriptor that becomes readable on SIGTERM and SIGINT, which are blocked in this thread and those it starts
/// later.
Socket open_stop_signal();

/// Says on stdout where the server listens, for people and for scripts that let the kernel choose the port.
void announce(const std::string &host, std::uint16_t port);

/// Hands each connection to `handler` in a thread of its own, until a stop signal: then the connections are shut down
/// and their threads waited for. What a handler throws ends its connection and is told on stderr.
void serve(const std::string &host, std::uint16_t port, const std::function<void(Connection &)> &handler);

}  // namespace samples
