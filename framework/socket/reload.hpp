// A configuration that has changed, and the connections that it was changed for.
//
// Those that are made from now on follow it by themselves. Those that are there already do where that was asked for: one whose route
// forbids providers by now steps back for good; one whose numbers have changed steps back, takes the new ones while nothing of it lies in a
// buffer, and leaves TCP again.
#pragma once
#include <span>

#include "socket/drain.hpp"

namespace sansock::socket {

/// The helper alone comes here.
class Reload {
public:
    Reload(Process &process, const Drain &drain) : process_(process), drain_(drain) {}
    /// False: the configuration is wrong, and the one before stays; `why` says what.
    bool begin(bool live, std::span<char> why);
    void timers();
    [[nodiscard]] uint64_t next_due_ns() const { return due_ns_; }

private:
    static constexpr uint64_t kWaitNs = 10'000'000, kWaitNsMax = 200'000'000;

    /// False: the connection has yet to come to rest.
    bool apply(Connection &connection);

    Process &process_;
    const Drain &drain_;
    uint64_t due_ns_ = UINT64_MAX, wait_ns_ = kWaitNs;
};

}  // namespace sansock::socket
