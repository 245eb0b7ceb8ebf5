// Runs a seeded workload against a block store, verifies every byte that it reads, and prints what the store can do.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "block_store/workload.hpp"
#include "common/parallel.hpp"
#include "common/socket.hpp"

namespace {

using block_store::Operation;
using block_store::WorkloadOptions;
using block_store::WorkloadResult;

constexpr double kMiB = 1024.0 * 1024.0;

void print(const WorkloadOptions &options, std::vector<WorkloadResult> &results) {
    double elapsed = 0;
    double verified = 0;
    for (const WorkloadResult &result : results) {
        elapsed = std::max(elapsed, result.elapsed.count());
        verified += static_cast<double>(result.bytes_verified);
    }
    std::printf("%-10s %10s %10s %10s %10s %10s\n", "operation", "count", "IOPS", "MiB/s", "p50, us", "p99, us");
    for (std::size_t kind = 0; kind < block_store::kMeasured.size(); ++kind) {
        samples::Latencies all(0);
        for (const WorkloadResult &result : results) all.add(result.latencies[kind]);
        const Operation operation = block_store::kMeasured[kind];
        const bool moves = operation == Operation::Read || operation == Operation::Write;
        const double rate = static_cast<double>(all.count()) / elapsed;
        std::printf("%-10s %10zu %10.0f %10.1f %10.1f %10.1f\n", name_of(operation), all.count(), rate,
                    moves ? rate * options.request_size / kMiB : 0.0, all.percentile_us(50), all.percentile_us(99));
    }
    std::printf("verified %.1f MiB over %u connections, queue depth %zu\n", verified / kMiB, options.connections, options.queue_depth);
}

int block_store_client(int argc, char **argv) {
    WorkloadOptions options;
    CLI::App app("Runs a verifying workload against a block store; what was in the volume is lost");
    app.option_defaults()->always_capture_default();
    app.add_option("--host", options.host, "address of the server");
    app.add_option("--port", options.port, "port of the server")->required()->check(CLI::Range(1, 65535));
    app.add_option("--connections", options.connections, "connections at once")->check(CLI::Range(1, 1024));
    app.add_option("--queue-depth", options.queue_depth, "requests in flight per connection")->check(CLI::Range(1, 1024));
    app.add_option("--request-size", options.request_size, "bytes of a read, write or trim, such as 64K")
        ->transform(CLI::AsSizeValue(false))
        ->check(CLI::Range(block_store::kBlockSize, block_store::kLengthMax));
    app.add_option("--operations", options.operations, "operations per connection")->check(CLI::Range(1, 1'000'000'000));
    app.add_option("--seed", options.seed, "start of the random choices and contents");
    CLI11_PARSE(app, argc, argv);
    auto results = samples::in_parallel(options.connections, [&](unsigned index) { return block_store::Workload(options, index).run(); });
    print(options, results);
    return 0;
}

}  // namespace

int main(int argc, char **argv) { return samples::run_main("block_store_client", block_store_client, argc, argv); }
