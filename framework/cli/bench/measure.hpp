// Carries the plan out: starts the workers of each transport in turn and collects what they say.
#pragma once
#include <functional>
#include <string>

#include "cli/bench/results.hpp"

namespace sansock::cli::bench {

struct Order {
    bool quick = false;
    unsigned pairs = 11;
    std::vector<std::string> only;  ///< Groups; none: all.
    std::string sansock;            ///< The program for `sansock run`.
    std::string worker;
    std::string directory;  ///< For reports.
};

/// `what` is being measured; `share` of the whole is done.
using Progress = std::function<void(const std::string &what, double share)>;

/// Throws std::runtime_error when a worker fails, or when nothing moved to a provider where it should have.
Results measure(const Order &order, const Progress &progress);

}  // namespace sansock::cli::bench
