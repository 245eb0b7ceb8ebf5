// What `sansock bench` measures, as data: groups of steps, each a role of the worker with its numbers.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace sansock::cli::bench {

/// One value that a step gives for each of its cases.
struct Figure {
    std::string name;   ///< In the worker's lines and in the JSON.
    std::string title;  ///< In the table.
    std::string unit;
    bool more_is_better = false;
    bool compared = true;  ///< Against TCP, as a ratio. Otherwise it stands for itself.
};

struct Step {
    std::string role;                  ///< The worker's.
    std::vector<std::size_t> numbers;  ///< Message sizes, or how many connections or rounds.
    double seconds = 0;                ///< Of one measurement.
    std::string unit;                  ///< Of the numbers in the table.
    std::string note;                  ///< Behind the number in the table.
    unsigned hogs_per_cpu = 0;         ///< Programs that keep the CPUs busy meanwhile.
    double rate = 0;                   ///< Messages a second; 0: as fast as can be.

    [[nodiscard]] std::string case_name(const std::string &number) const;
    /// What the step takes, roughly; for the progress line and the watchdog.
    [[nodiscard]] double seconds_in_all() const;
};

struct Group {
    std::string name;
    std::string title;
    std::vector<Step> steps;
    std::vector<Figure> figures;
    unsigned repeats_max = ~0u;  ///< Absolute figures need no pairs.
    bool moves = true;           ///< Its connections live long enough to leave TCP.

    [[nodiscard]] bool is_compared() const { return figures.front().compared; }
};

/// `quick`: everything once and briefly, to see that it works.
std::vector<Group> plan(bool quick);
/// For --only.
std::vector<std::string> group_names();

}  // namespace sansock::cli::bench
