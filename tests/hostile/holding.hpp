// What a process has of the system, as one program says it and a test reads it.
#pragma once
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

namespace sansock::hostile {

struct Holding {
    int descriptors = 0;  ///< But eventfds.
    int eventfds = 0;     ///< What a thread slept on is kept for the next one.
    int threads = 0;
    int maps = 0;  ///< Of the library's and of its plugins' memory.
    long kib = 0;  ///< That the system has given to what of it this process writes.

    [[nodiscard]] std::string text() const {
        char line[96];
        std::snprintf(line, sizeof line, "%d+%d descriptors, %d threads, %d maps, %ld KiB", descriptors, eventfds, threads, maps, kib);
        return line;
    }
};

/// A program's last line: what it holds at the end, and what it held before.
inline std::string holding_line(const Holding &now, const Holding &before) { return "holds " + now.text() + "; held " + before.text(); }

inline std::optional<std::pair<Holding, Holding>> holdings_in(const std::string &line) {
    Holding now, before;
    const int found = std::sscanf(line.c_str(),
                                  "holds %d+%d descriptors, %d threads, %d maps, %ld KiB; held %d+%d descriptors, %d threads, %d maps, "
                                  "%ld KiB",
                                  &now.descriptors, &now.eventfds, &now.threads, &now.maps, &now.kib, &before.descriptors, &before.eventfds,
                                  &before.threads, &before.maps, &before.kib);
    if (found != 10) return std::nullopt;
    return std::pair(now, before);
}

}  // namespace sansock::hostile
