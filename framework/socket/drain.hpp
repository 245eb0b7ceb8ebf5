// Takes connections off the providers that sansockd says are drained, and lets them back when it says so.
//
// The stream rests on TCP meanwhile, as one that is lent does (docs/stream-protocol.md, S8). Once all of a provider's connections are
// there, nothing of its plugin is in use in this process, and it is let go of, so that another file can take its place.
#pragma once
#include <span>

#include "socket/agent_message.hpp"
#include "socket/courier.hpp"

namespace sansock::socket {

/// The helper alone comes here.
class Drain {
public:
    Drain(Process &process, Couriers &couriers) : process_(process), couriers_(couriers) {}
    /// From now on these are drained and no others.
    void set(std::span<const GuidText> guids);
    /// How far it has got.
    enum Progress : uint8_t { kMoving, kInUse, kDone };
    Progress timers();
    [[nodiscard]] uint64_t next_due_ns() const { return due_ns_; }

    [[nodiscard]] bool is_drained(const char *guid) const;

private:
    static constexpr uint64_t kWaitNs = 10'000'000, kWaitNsMax = 200'000'000;

    /// False: the connection is not at rest yet.
    bool apply(Connection &connection);

    Process &process_;
    Couriers &couriers_;
    GuidText guids_[kDrainsMax] = {};
    uint32_t count_ = 0;
    Progress progress_ = kDone;
    uint64_t due_ns_ = UINT64_MAX, wait_ns_ = kWaitNs;
    uint64_t met_by_ns_ = 0;  ///< By then whoever began to meet before has done so, or given it up.
};

}  // namespace sansock::socket
