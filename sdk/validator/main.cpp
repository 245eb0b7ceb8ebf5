// sansock-validate: tries a plugin against the contract and prints a table.
#include <fnmatch.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <optional>
#include <vector>

#include "arguments.hpp"
#include "run_case.hpp"

namespace sansock::conformance {
namespace {

// Evaluated by InitGoogleTest, by when main has read the arguments.
Target chosen;
INSTANTIATE_TEST_SUITE_P(Validate, ProviderConformance, ::testing::Values(chosen), [](const auto &each) { return each.param.label; });

}  // namespace

static void choose(const Target &target) { chosen = target; }

}  // namespace sansock::conformance

namespace sansock::validator {
namespace {

struct Case {
    std::string full_name;  ///< For GoogleTest.
    std::string name;       ///< For people: without what is the same in all of them.
};

std::vector<Case> cases_matching(const std::string &pattern) {
    std::vector<Case> cases;
    const auto &unit = *::testing::UnitTest::GetInstance();
    for (int at = 0; at < unit.total_test_suite_count(); ++at) {
        const auto &suite = *unit.GetTestSuite(at);
        for (int inner = 0; inner < suite.total_test_count(); ++inner) {
            const std::string full = suite.GetTestInfo(inner)->name();
            std::string name = full.substr(0, full.find('/'));
            if (::fnmatch(pattern.c_str(), name.c_str(), 0) != 0) continue;
            cases.push_back({std::string(suite.name()) + "." + full, std::move(name)});
        }
    }
    return cases;
}

/// Whether there is a provider to try at all; says why not.
bool can_be_opened(const conformance::Target &target) {
    const CaseResult result = run_apart([&] {
        std::optional<plugin::Host> host;
        const auto opened = conformance::open_target(target, host);
        if (!opened) std::printf("%s\n", opened.error().text.c_str());
        return opened ? 0 : 1;
    });
    if (result.outcome == Outcome::passed) return true;
    std::fprintf(stderr, "sansock-validate: the provider cannot be opened: %s%s\n", result.output.c_str(), result.detail.c_str());
    return false;
}

int run(const Arguments &arguments) {
    static constexpr std::array kOutcomes{"passed", "failed", "crashed", "hung", "skipped"};
    const std::vector<Case> cases = cases_matching(arguments.pattern);
    if (cases.empty()) {
        std::fprintf(stderr, "sansock-validate: no case matches '%s'\n", arguments.pattern.c_str());
        return 2;
    }
    if (!can_be_opened(arguments.target)) return 2;
    std::printf("plugin %s, seed %u\n\n", arguments.target.plugin.c_str(), conformance::seed());
    std::array<int, kOutcomes.size()> counts{};
    for (const Case &each : cases) {
        const CaseResult result = run_case(each.full_name);
        const auto outcome = static_cast<std::size_t>(result.outcome);
        ++counts[outcome];
        std::printf("%-7s  %-55s %7.2f s  %s\n", kOutcomes[outcome], each.name.c_str(), result.seconds, result.detail.c_str());
        const bool good = result.outcome == Outcome::passed || result.outcome == Outcome::skipped;
        if (!good || arguments.verbose) std::printf("%s\n", result.output.c_str());
        std::fflush(stdout);
    }
    std::printf("\n%zu cases:", cases.size());
    for (std::size_t at = 0; at < kOutcomes.size(); ++at) {
        if (counts[at] > 0) std::printf(" %d %s", counts[at], kOutcomes[at]);
    }
    std::printf("\n");
    return counts[static_cast<std::size_t>(Outcome::passed)] + counts[static_cast<std::size_t>(Outcome::skipped)] ==
                   static_cast<int>(cases.size())
               ? 0
               : 1;
}

}  // namespace
}  // namespace sansock::validator

int main(int argc, char **argv) {
    const auto arguments = sansock::validator::parse_arguments(argc, argv);
    if (!arguments) {
        std::fprintf(stderr, "sansock-validate: %s\n", arguments.error().text.c_str());
        return 2;
    }
    if (arguments->help) {
        std::fputs(sansock::validator::kUsage, stdout);
        return 0;
    }
    sansock::conformance::choose(arguments->target);
    GTEST_FLAG_SET(random_seed, arguments->seed);
    int none = 1;
    ::testing::InitGoogleTest(&none, argv);
    return sansock::validator::run(*arguments);
}
