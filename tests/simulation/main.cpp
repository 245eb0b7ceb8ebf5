// Runs seeds of the simulation.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>

#include "mutations.hpp"
#include "world.hpp"

using namespace sansock::simulation;

namespace {

struct Options {
    uint64_t seeds = 1000, first_seed = 1;
    uint64_t seed = 0;
    bool trace = false, coverage = false;
    std::string mutation;
};

int replay(World &world, const Options &options) {
    world.scheduler.tracing = options.trace;
    if (options.trace) fmt::print("{}", Scenario::of(options.seed).text());
    std::fflush(stdout);
    const auto outcome = world.run(options.seed);
    std::fflush(stdout);
    fmt::print("seed {}: {}; {} and {} bytes, {} switches, {} step backs, {} points\n", options.seed,
               outcome.failure.empty() ? "passed" : outcome.failure, outcome.bytes[0], outcome.bytes[1], outcome.upgrades, outcome.step_backs,
               outcome.points);
    return outcome.failure.empty() ? 0 : 1;
}

int run_seeds(World &world, const Options &options) {
    const auto begin = std::chrono::steady_clock::now();
    uint64_t points = 0, failures = 0;
    for (uint64_t seed = options.first_seed; seed < options.first_seed + options.seeds; ++seed) {
        const auto outcome = world.run(seed);
        points += outcome.points;
        if (outcome.failure.empty()) continue;
        ++failures;
        fmt::print("seed {}: {}\n", seed, outcome.failure);
        if (failures >= 40) break;
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (options.coverage) world.coverage.print();
    fmt::print("{} seeds, {} failures, {:.1f} s, {} points\n", options.seeds, failures, seconds, points);
    return failures == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char **argv) {
    Options options;
    CLI::App app("Simulates two processes and the path between them over the stream code that ships, one seed after another");
    app.add_option("--seeds", options.seeds, "How many")->capture_default_str();
    app.add_option("--first-seed", options.first_seed, "The first of them")->capture_default_str();
    app.add_option("--seed", options.seed, "Run this one alone");
    app.add_flag("--trace", options.trace, "Print what happens in it");
    app.add_flag("--coverage", options.coverage, "Print which events met which states");
    app.add_option("--mutation", options.mutation, "Break this rule of the protocol");
    CLI11_PARSE(app, argc, argv);
    if (!options.mutation.empty() && !activate_mutation(options.mutation.c_str())) {
        fmt::print(stderr, "no mutation {}\n", options.mutation);
        return 2;
    }
    World world;
    return options.seed != 0 ? replay(world, options) : run_seeds(world, options);
}
