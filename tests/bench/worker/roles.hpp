// What the worker can be told to do. Each client prints a line of JSON per case.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace bench {

/// As many descriptors as the system allows this user.
void allow_descriptors();

void serve(const std::string &address);
/// Latency and throughput alone, a thread for each connection and no epoll, of which not everything that stands in for sockets knows.
void serve_in_threads(const std::string &address);

/// Round trips of one message at a time.
void measure_latency(const std::string &address, const std::vector<std::size_t> &sizes, double seconds);
/// One stream in one direction.
void measure_throughput(const std::string &address, const std::vector<std::size_t> &sizes, double seconds);
/// Many connections, each with one message of 64 bytes under way, served by one thread at each end.
void measure_connections(const std::string &address, const std::vector<std::size_t> &counts, double seconds);
/// Connections that carry one request each.
void measure_setup(const std::string &address, double seconds);
/// Memory of many connections, and the CPU time that they take while nothing is sent.
void measure_idle(const std::string &address, std::size_t count, double seconds);
/// System calls and allocations of round trips. `rate`: messages a second; 0: at once.
void measure_calls(const std::string &address, std::size_t rounds, double rate);

/// Keeps a CPU busy until standard input ends.
void hog();

}  // namespace bench
