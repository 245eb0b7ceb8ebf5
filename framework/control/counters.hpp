// What the processes of a host have done, summed up so that no counter ever falls, whoever ends or is killed.
#pragma once
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "control/board_view.hpp"

namespace sansock::control {

/// Of one provider. Sizes are those of messages, in the classes of socket/board.hpp.
struct ProviderCounts {
    std::string plugin;
    uint64_t sent = 0, received = 0;  ///< Bytes.
    uint64_t upgrades = 0, step_backs = 0, full = 0;
    std::array<uint64_t, socket::kBoardSizes> sizes{};

    void add(const ProviderCounts &other);
    void raise_to(const ProviderCounts &other);
};

/// Of one user's processes.
struct Counts {
    uint64_t connections = 0;
    uint64_t sent = 0, received = 0;  ///< Bytes by TCP.
    std::array<uint64_t, socket::kBoardSleeps> sleeps{};
    uint64_t slept_ns = 0;
    std::map<std::string, ProviderCounts> providers;  ///< By GUID.

    void add(const Counts &other);
    /// Every count becomes at least the other's.
    void raise_to(const Counts &other);
    /// What a board that was just read says. Nothing of it is believed that could not be.
    static Counts of(const BoardView &board);

    static constexpr size_t kProvidersMax = 64;               ///< What a user's processes say of more is left out.
    static constexpr uint64_t kBelieved = uint64_t{1} << 62;  ///< Nothing counts more.
};

using CountsOfUsers = std::map<uid_t, Counts>;

}  // namespace sansock::control
