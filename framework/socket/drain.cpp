#include "socket/drain.hpp"

#include <string.h>

#include <algorithm>
#include <utility>

namespace sansock::socket {

void Drain::set(std::span<const GuidText> guids) {
    count_ = static_cast<uint32_t>(std::min<size_t>(guids.size(), kDrainsMax));
    std::copy_n(guids.begin(), count_, guids_);
    for (GuidText &guid : guids_) guid.text[sizeof guid.text - 1] = '\0';
    if (process_.runtime() != nullptr) process_.runtime()->set_drained({guids_, count_});
    progress_ = kMoving;
    wait_ns_ = kWaitNs;
    due_ns_ = 0;
    met_by_ns_ = now_ns() + 2 * process_.policy().rendezvous_timeout_ns;
}

bool Drain::is_drained(const char *guid) const {
    return std::any_of(guids_, guids_ + count_, [&](const GuidText &drained) { return strcmp(drained.text, guid) == 0; });
}

bool Drain::apply(Connection &connection) {
    if (!connection.is_open()) return true;
    stream::Guard guard(connection.fd_lock);
    if (!connection.is_open() || !connection.is_in_family() || !connection.mapped.load(std::memory_order_acquire)) return true;
    const Phase phase = connection.phase();
    if (phase != Phase::kAttached && phase != Phase::kLingering) return true;
    stream::End &end = connection.end();
    if (!is_drained(connection.shared->guid)) {
        if (phase == Phase::kAttached) end.undrain();
        couriers_.return_soon(connection);
        return true;
    }
    if (phase == Phase::kLingering) return false;  // the peer has yet to read the rest
    end.drain();
    if (!end.at_rest_on_tcp()) return false;
    if (connection.endpoint != nullptr) process_.runtime()->retire(std::exchange(connection.endpoint, nullptr));
    couriers_.let_rest(connection);
    return true;
}

Drain::Progress Drain::timers() {
    if (now_ns() < due_ns_) return progress_;
    bool all = true;
    for (uint32_t i = 0; i < process_.connections_used(); ++i) all &= apply(process_.connection_at(i));
    if (all && count_ > 0) couriers_.release(~uint64_t{0});  // or not, where messages of another provider are under way
    const bool released = all && (process_.runtime() == nullptr || process_.runtime()->release_drained());
    progress_ = released ? kDone : all ? kInUse : kMoving;
    // A connection that was about to be attached when its provider was drained is found the next time.
    const uint64_t now = now_ns();
    due_ns_ = released && now >= met_by_ns_ ? UINT64_MAX : now + wait_ns_;
    wait_ns_ = std::min(2 * wait_ns_, kWaitNsMax);
    return progress_;
}

}  // namespace sansock::socket
