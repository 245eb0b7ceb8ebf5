// Which events have met which states of an end.
#pragma once
#include <array>
#include <cstdint>
#include <string>

namespace sansock::simulation {

struct Process;

enum class Event : uint8_t {
    kSend,
    kReceive,
    kPeek,
    kPoll,
    kShutdown,
    kClose,
    kDrain,
    kLeave,
    kHelper,
    kFin,
    kReset,
    kKilled,
    kStopped,
    kMuted,
    kPressure,
    kIntruder,
    kPeerKilled,
    kPeerStopped,
    // Between two hosts alone:
    kWords,
    kPathFails,
    kCut,
    kExit,
};
inline constexpr int kEvents = 22;

class Coverage {
public:
    void count(const Process &process, Event event);
    void add(const Coverage &other);
    /// A table: a row per state that was ever seen, a column per event; then how many pairs were met, and which were not.
    void print() const;
    /// The pairs of kRequired that were not met, as text; empty when all were.
    [[nodiscard]] std::string missing(bool two_hosts) const;

    /// What the sending and the receiving half are doing.
    static constexpr int kOutStates = 6, kInStates = 5;

private:
    std::array<std::array<uint64_t, kEvents>, kOutStates * kInStates> table_{};
};

}  // namespace sansock::simulation
