// What one seed does: the sizes of everything, what both applications want, and what goes wrong when.
#pragma once
#include <cstdint>
#include <string>

#include "random.hpp"

namespace sansock::simulation {

enum class Ending : uint8_t {
    kShutdown,       ///< shutdown(SHUT_WR), read to the end, close.
    kReadThenClose,  ///< Writes all, reads to the end of the peer's stream, closes without shutdown.
    kHasty,          ///< close() with input unread.
    kAbort,          ///< Closes with SO_LINGER {1, 0}.
};

enum class Fault : uint8_t {
    kKill,       ///< SIGKILL of a process.
    kStop,       ///< SIGSTOP for ever.
    kStall,      ///< SIGSTOP for a while.
    kMute,       ///< The application makes no further call; its helper lives.
    kPressure,   ///< The kernel takes no more than a few bytes into its send queue.
    kIntruder,   ///< Somebody writes to the socket past the library while its direction is on the provider.
    kPathStops,  ///< Kernel TCP carries nothing any more.
    kLeave,      ///< The application hands its socket to a program that does not know the library, as exec does.
    // Between two hosts alone:
    kPathFails,   ///< The provider fails, and loses what it has not brought yet.
    kPathSilent,  ///< The provider carries nothing any more, and says nothing.
    kCut,         ///< The channel between the helpers breaks, or one end of it is closed.
    kIdleKill,    ///< SIGKILL of a process whose connection has long been silent.
};
inline constexpr int kFaults = 12, kFaultsWithin = 8;  ///< All, and those within one host.
const char *fault_name(Fault fault);

struct SidePlan {
    bool threads;    ///< One thread reads and one writes, both blocking; else one that polls.
    uint64_t bytes;  ///< That it wants to send at least.
    uint32_t write_max, read_max;
    uint8_t peek_percent;
    Ending ending;
};

/// What two hosts have beside: the provider is one of messages, and the words come over a channel.
struct FarPlan {
    uint32_t sends, receives[2];  ///< Depths of the provider, and receives posted by each side.
    uint64_t message_bytes;
    bool acknowledged;  ///< A send is done when it has arrived; else when it is on its way.
    bool answerer_sends_first;
    uint32_t path_nap_ns, channel_nap_ns;
    uint32_t channel_room;  ///< Sayings that the kernel takes at a time.
    uint64_t drains_at[2];  ///< After so many bytes an operator steps that side back; 0: none does.
    uint64_t return_ns;     ///< So long after a STEP the provider is tried again; 0: STEPs are for good.
    bool exits[2];          ///< The process ends where it would have closed, or as soon as it has.
    bool cut_cleanly;       ///< kCut: the victim's end is closed, and what it said arrives.
};

struct Scenario {
    uint32_t buffer_size, buffers, send_buffers;
    uint32_t send_limit, receive_limit;  ///< Of the kernel's queues.
    uint64_t window;
    uint32_t path_step_max;  ///< Bytes that the path moves at a time.
    uint32_t path_nap_ns;
    SidePlan side[2];
    uint8_t drains;  ///< STEPs that an operator asks for while the first bytes move.
    Fault fault;
    int victim;         ///< Side.
    int at_point;       ///< The fault comes when the victim passes this point, -1: any ...
    uint32_t at_count;  ///< ... for the n-th time after the first 64 KiB have moved each way.
    int late_drain;     ///< Side at which an operator asks for one more STEP once the fault is there, -1: none does.
    bool undrains;      ///< The operator drains for a while, in place of a single STEP.
    bool lends;         ///< The operator lends the socket to another program now and then, which does nothing with it, in place of a drain.
    bool silent_peer;   ///< kLeave: the peer is stopped at the same moment.
    bool two_hosts;
    FarPlan far;

    static Scenario of(uint64_t seed);
    [[nodiscard]] std::string text() const;

private:
    void draw_far(Random &random);
};

/// Each direction moves at least this before the fault.
inline constexpr uint64_t kBytesMin = 64 * 1024;
/// No application sends more than this.
inline constexpr uint64_t kBytesMax = 1024 * 1024;

}  // namespace sansock::simulation
