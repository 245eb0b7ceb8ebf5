// Runs one case of the conformance suite in a process of its own, so that a plugin that crashes or hangs costs one
// case.
#pragma once
#include <functional>
#include <string>

namespace sansock::validator {

enum class Outcome { passed, failed, crashed, hung, skipped };

struct CaseResult {
    Outcome outcome;
    std::string detail;  ///< For a crash, the signal; for a skip, the reason.
    std::string output;
    double seconds;
};

/// Runs `body` in a process of its own; what it returns is the exit status: 0 passed, 77 skipped, 1 failed.
[[nodiscard]] CaseResult run_apart(const std::function<int()> &body);

/// `name` is the case's full name.
[[nodiscard]] CaseResult run_case(const std::string &name);

}  // namespace sansock::validator
