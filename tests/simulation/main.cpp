// Runs seeds of the simulation.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>

#include "mutations.hpp"
#include "world.hpp"

using namespace sansock::simulation;

namespace {

constexpr uint64_t kSeedsPerMutation = 50'000;

struct Options {
    uint64_t seeds = 1000, first_seed = 1;
    uint64_t seed = 0;
    bool trace = false, coverage = false, require_pairs = false, list_mutations = false, all_mutations = false;
    std::string mutation;
};

int replay(World &world, const Options &options) {
    world.scheduler.tracing = options.trace;
    if (options.trace) fmt::print("{}", Scenario::of(options.seed).text());
    std::fflush(stdout);
    const auto outcome = world.run(options.seed);
    std::fflush(stdout);
    fmt::print("seed {}: {}; {} and {} bytes, {} switches, {} step backs, {} points\n", options.seed,
               outcome.failure.empty() ? "passed" : outcome.failure, outcome.bytes[0], outcome.bytes[1], outcome.upgrades,
               outcome.step_backs, outcome.points);
    return outcome.failure.empty() ? 0 : 1;
}

int run_seeds(World &world, const Options &options) {
    constexpr uint64_t kFailuresShown = 20;
    const auto begin = std::chrono::steady_clock::now();
    uint64_t points = 0, failures = 0, done = 0;
    for (uint64_t seed = options.first_seed; done < options.seeds && failures < kFailuresShown; ++seed, ++done) {
        const auto outcome = world.run(seed);
        points += outcome.points;
        const std::string what = !outcome.failure.empty() ? outcome.failure : outcome.enough ? "" : "too little happened";
        if (!what.empty()) {
            ++failures;
            fmt::print("seed {}: {}  (simulation --seed {} --trace)\n", seed, what, seed);
        }
        if (done % 20'000 == 19'999) fmt::print("{} seeds, {} failures\n", done + 1, failures);
        std::fflush(stdout);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    const Coverage &within = world.coverage[0], &between = world.coverage[1];
    if (options.coverage) {
        within.print();
        fmt::print("between two hosts:\n");
        between.print();
    }
    fmt::print(
        "{} seeds, {} failures, {:.1f} s, {} points; each moved {} KiB both ways, with a switch, within one host a STEP, and a fault\n",
        done, failures, seconds, points, kBytesMin / 1024);
    const std::string missing = options.require_pairs ? within.missing(false) + between.missing(true) : "";
    if (!missing.empty()) fmt::print("these events have never met these states, sending / receiving:\n{}", missing);
    return failures == 0 && missing.empty() ? 0 : 1;
}

/// Each rule, broken, must be noticed.
int check_mutations(World &world, const Options &options) {
    int unnoticed = 0;
    for (const Mutation &mutation : mutations()) {
        activate_mutation(mutation.name);
        uint64_t seed = options.first_seed;
        std::string what;
        for (; seed < options.first_seed + kSeedsPerMutation && what.empty(); ++seed) {
            what = world.run(seed).failure;
            if (what.empty()) continue;
            activate_mutation(nullptr);  // what fails anyway has noticed nothing
            if (!world.run(seed).failure.empty()) what.clear();
            activate_mutation(mutation.name);
        }
        unnoticed += what.empty();
        fmt::print("{:24} {}  ({})\n", mutation.name, what.empty() ? "NOT NOTICED" : fmt::format("seed {:5}: {}", seed - 1, what),
                   mutation.rule);
        std::fflush(stdout);
    }
    return unnoticed == 0 ? 0 : 1;
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
    app.add_flag("--require-pairs", options.require_pairs, "Fail when an event has not met a state that it must (coverage.cpp)");
    app.add_option("--mutation", options.mutation, "Break this rule of the protocol");
    app.add_flag("--list-mutations", options.list_mutations, "Print the rules that can be broken");
    app.add_flag("--all-mutations", options.all_mutations, "Break one rule after another until a seed notices");
    CLI11_PARSE(app, argc, argv);
    if (!options.mutation.empty() && !activate_mutation(options.mutation.c_str())) {
        fmt::print(stderr, "no mutation {}\n", options.mutation);
        return 2;
    }
    if (options.list_mutations) {
        for (const Mutation &mutation : mutations()) fmt::print("{:24} {}\n", mutation.name, mutation.rule);
        return 0;
    }
    World world;
    if (options.all_mutations) return check_mutations(world, options);
    return options.seed != 0 ? replay(world, options) : run_seeds(world, options);
}
