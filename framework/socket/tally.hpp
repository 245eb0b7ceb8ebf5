// What a family of processes has done so far, in memory that it shows to sansockd (socket/board.hpp), so that counters outlive the
// connections that they are about. A connection's own counts are added when its place is given to another one: until then they are read
// where they are.
#pragma once
#include <atomic>
#include <cstdint>

#include "base/family_lock.hpp"
#include "socket/board.hpp"
#include "stream/state.hpp"

namespace sansock::socket {

struct SharedConnection;

/// The bytes that one provider has carried, and what became of the connections that it carried last.
struct ProviderTally {
    char guid[40];
    char plugin[32];
    std::atomic<uint64_t> sent, received;  ///< Bytes.
    std::atomic<uint64_t> upgrades, step_backs;
    std::atomic<uint64_t> full;                   ///< As stream::OutState counts it.
    std::atomic<uint64_t> sizes[stream::kSizes];  ///< Likewise.
};

struct Tally {
    static constexpr uint32_t kProviders = 64;  ///< What later ones carry is counted as the last one's.

    std::atomic<uint64_t> connections;           ///< That have ended.
    std::atomic<uint64_t> sent, received;        ///< Bytes by TCP.
    std::atomic<uint64_t> sleeps[kBoardSleeps];  ///< Of threads, until something happened on connections of which providers carry some.
    std::atomic<uint64_t> slept_ns;
    std::atomic<uint32_t> providers;
    FamilyLock lock;  ///< Taken to give another provider its place.
    ProviderTally of_provider[kProviders];

    /// One that has ended. Its counts are about to be reset.
    void add(const SharedConnection &connection);
    /// The same for one that has had no place.
    void add(uint64_t sent_by_tcp, uint64_t received_by_tcp);
    void add_sleep(uint64_t ns);

private:
    ProviderTally &of(const SharedConnection &connection);
};

}  // namespace sansock::socket
