// Sends messages of seeded random bytes, waits for each to come back, compares every byte, and prints how long it took.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/latency.hpp"
#include "common/network.hpp"
#include "common/parallel.hpp"
#include "common/random.hpp"
#include "common/socket.hpp"

namespace {

using samples::Latencies;

struct Options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    unsigned connections = 1;
    std::size_t size = 64;
    std::size_t requests = 10'000;
    std::uint64_t seed = 1;
};

Latencies run_connection(const Options &options, unsigned index) {
    const auto connection = samples::connect_to(options.host, options.port);
    samples::Random random(options.seed + index);
    std::vector<std::byte> sent(options.size);
    std::vector<std::byte> received(options.size);
    Latencies latencies(options.requests);
    for (std::size_t request = 0; request < options.requests; ++request) {
        random.fill(sent);
        const auto start = std::chrono::steady_clock::now();
        connection->send_all(sent);
        samples::receive_all(*connection, received);
        latencies.add(std::chrono::steady_clock::now() - start);
        if (received != sent) {
            const auto [different, _] = std::ranges::mismatch(received, sent);
            throw std::runtime_error("connection " + std::to_string(index) + ", message " + std::to_string(request) + ": byte " +
                                     std::to_string(different - received.begin()) + " came back different");
        }
    }
    return latencies;
}

int echo_client(int argc, char **argv) {
    Options options;
    CLI::App app("Measures and verifies an echo server");
    app.add_option("--host", options.host, "address of the server")->capture_default_str();
    app.add_option("--port", options.port, "port of the server")->required()->check(CLI::Range(1, 65535));
    app.add_option("--connections", options.connections, "connections at once")->capture_default_str()->check(CLI::Range(1, 1024));
    // Larger messages could fill both directions at once, and then neither side would read.
    app.add_option("--size", options.size, "bytes of a message")->capture_default_str()->check(CLI::Range(1, 65536));
    app.add_option("--requests", options.requests, "messages per connection")->capture_default_str()->check(CLI::Range(1, 100'000'000));
    app.add_option("--seed", options.seed, "start of the random contents")->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    const auto start = std::chrono::steady_clock::now();
    Latencies all(0);
    for (const Latencies &one : samples::in_parallel(options.connections, [&](unsigned index) { return run_connection(options, index); })) {
        all.add(one);
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::printf("%zu messages of %zu bytes verified over %u connections, %.0f a second\n", all.count(), options.size, options.connections,
                static_cast<double>(all.count()) / elapsed.count());
    std::printf("round trip in us: p50 %.1f, p99 %.1f, p99.9 %.1f\n", all.percentile_us(50), all.percentile_us(99),
                all.percentile_us(99.9));
    return 0;
}

}  // namespace

int main(int argc, char **argv) { return samples::run_main("echo_client", echo_client, argc, argv); }
