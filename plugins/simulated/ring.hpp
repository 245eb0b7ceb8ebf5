// The messages of one direction: RingSender writes slots into our memory, RingReceiver reads them from the peer's.
//
// The peer may be wrong or hostile and may rewrite its words while we look. So every word is read once into a local,
// checked, and then used; indexes are counted in private memory and only compared with the peer's.
#pragma once
#include <sansock/sdk/region.h>

#include <array>
#include <cstdint>
#include <optional>

#include "memory.hpp"

namespace sansock::simulated {

enum class RingResult { done, nothing, peer_lied };

class RingSender {
public:
    /// `message_bytes_max` is what `own` was made for.
    void open(OwnMemory &own, const PeerMemory &peer, std::uint64_t message_bytes_max);

    /// Publishes one message. `nothing` when there is no room.
    [[nodiscard]] RingResult push(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t length,
                                  std::uint64_t arrival_ns) noexcept;

private:
    [[nodiscard]] bool reclaim() noexcept;

    Slot *slots_ = nullptr;
    std::byte *payload_ = nullptr;
    const Control *peer_ = nullptr;
    std::uint64_t payload_bytes_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t consumed_ = 0;  ///< By the peer, as last seen.
    // Positions in the payload area count up for ever; the place is the remainder.
    std::uint64_t payload_written_ = 0;
    std::uint64_t payload_freed_ = 0;
    std::array<std::uint64_t, kSlotCount> payload_end_{};  ///< What becomes free when the slot's message is consumed.
};

class RingReceiver {
public:
    struct Message {
        const std::byte *bytes;  ///< In the peer's memory: copy, do not look.
        std::uint64_t length;
        std::uint64_t arrival_ns;
    };

    void open(OwnMemory &own, const PeerMemory &peer, std::uint64_t message_bytes_max);

    /// The oldest message that was not popped. The same one each time, whatever the peer writes meanwhile.
    [[nodiscard]] RingResult peek(Message &message) noexcept;

    /// Gives the message's place back to the peer.
    void pop() noexcept;

    /// When the message that peek() found arrives; nothing when it has found none.
    [[nodiscard]] std::optional<std::uint64_t> arrival_ns() const noexcept {
        return seen_ ? std::optional(message_.arrival_ns) : std::nullopt;
    }

private:
    const Slot *slots_ = nullptr;
    const std::byte *payload_ = nullptr;
    Control *own_ = nullptr;
    std::uint64_t message_bytes_max_ = 0;
    std::uint64_t taken_ = 0;
    bool seen_ = false;  ///< message_ was read and checked.
    Message message_{};
};

}  // namespace sansock::simulated
