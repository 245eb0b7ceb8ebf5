// What the rendezvous has done, for metrics.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "control/exposition.hpp"
#include "pki/credentials.hpp"
#include "socket/agent_message.hpp"

namespace sansock::control {

struct RendezvousCounts {
    using Count = std::atomic<uint64_t>;

    static constexpr std::array<std::string_view, 5> kOutcomes{"here", "not-there", "no-daemon", "refused",
                                                               "busy"};  // as FoundStatus, from 1
    static constexpr size_t kReasons = std::size(pki::kRefusalReasons);
    enum Session : size_t { kLate, kRubbish, kCrowded, kSessions };
    static constexpr std::array<std::string_view, kSessions> kSessionNames{"late", "rubbish", "crowded"};
    enum Channel : size_t { kHandedOver, kUnknown, kExpired, kElsewhere, kSilent, kMalformed, kTooMany, kHolder, kChannels };
    static constexpr std::array<std::string_view, kChannels> kChannelNames{"handed-over", "unknown-token", "expired-token", "elsewhere",
                                                                           "silent",      "malformed",     "crowded",       "holder"};

    std::array<Count, kOutcomes.size()> asked{}, answered{};
    Count registered{}, not_registered{};
    std::array<std::array<Count, kReasons>, 2> certificates{};  ///< Of others, and ours.
    std::array<Count, kSessions> sessions_failed{};
    std::array<Count, kChannels> channels{};

    void count_asked(socket::FoundStatus status) { ++asked[static_cast<size_t>(status) - 1]; }
    void count_answered(socket::FoundStatus status) { ++answered[static_cast<size_t>(status) - 1]; }
    void count_certificate(bool ours, std::string_view reason);

    /// What there is now.
    struct Gauges {
        uint64_t connections, tokens, sessions, unproven, peers_asked, peers_unreachable;
        int64_t expiry;
    };
    void tell(Exposition &to, const Gauges &now) const;
};

}  // namespace sansock::control
