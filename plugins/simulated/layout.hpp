// What lies in the memory that one end writes and the other end maps read-only, and what the offer says about it.
//
// Each end has one memfd and is its only writer: it puts its outgoing messages there, and what it says about the
// incoming ones. A message is one slot of two cache lines. Up to 48 bytes it needs only the first; up to 104 bytes it
// lies in the slot; a longer one lies in the payload area, copied in by the sender and out by the receiver.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace sansock::simulated {

inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::uint64_t kSlotCount = 64;
inline constexpr std::uint32_t kInlineBytesMax = 104;
inline constexpr std::uint32_t kSliceCountMax = 8;
inline constexpr std::uint32_t kDepthMax = 1024;
inline constexpr std::uint32_t kQueueDepthMax = 1 << 20;
inline constexpr std::uint64_t kMessageBytesMin = 4096;  // What an operator may set `message_max` to.
inline constexpr std::uint64_t kMessageBytesMax = 1024 * 1024;

/// The payload area holds that many messages of the greatest length. Two at least: a message that does not fit before
/// the end of the area starts again at its front, and must still find room there when everything else is consumed.
inline constexpr std::uint64_t kPayloadMessages = 4;

struct Slot {
    std::atomic<std::uint64_t> sequence;  ///< Message n, counted from 1, is in slot (n-1) % kSlotCount. Stored last.
    std::atomic<std::uint32_t> length;
    std::atomic<std::uint32_t> offset;  ///< In the payload area, for messages of more than kInlineBytesMax.
    std::array<std::byte, kInlineBytesMax> bytes;
    std::atomic<std::uint64_t> arrival_ns;  ///< Only with a simulation: not to be looked at before.
};
static_assert(sizeof(Slot) == 128);

/// Each on a line of its own, since they change at different times.
struct Control {
    alignas(64) std::atomic<std::uint32_t> closed;    ///< 1: nothing more will come from this end.
    alignas(64) std::atomic<std::uint64_t> consumed;  ///< Messages of the peer that this end has taken.
    alignas(64) std::atomic<std::uint64_t> armed;     ///< Grows when this end wants one notification.
    std::atomic<std::uint32_t> wants_room;            ///< 1: sends wait at this end for the peer to take some.
};
static_assert(sizeof(Control) <= kPageBytes && std::atomic<std::uint64_t>::is_always_lock_free);

inline constexpr std::uint64_t kSlotsOffset = kPageBytes;
inline constexpr std::uint64_t kPayloadOffset = kSlotsOffset + kSlotCount * sizeof(Slot);
static_assert(kPayloadOffset % kPageBytes == 0);

[[nodiscard]] constexpr std::uint64_t file_bytes(std::uint64_t message_bytes_max) {
    return kPayloadOffset + kPayloadMessages * message_bytes_max;
}

/// How an endpoint introduces itself. With it travel, unless the memory is the host's: its memfd, the peer's end of the
/// wake socket (in the offer only), and a descriptor of its process.
struct Card {
    std::uint64_t magic;
    std::uint32_t kind;
    std::uint32_t carrier;
    std::uint64_t simulates;  ///< 1: arrival times are set.
    std::uint64_t message_bytes_max;
    std::uint64_t nonce;  ///< Chosen by the offer and repeated by its answer.
};
static_assert(std::has_unique_object_representations_v<Card>, "an offer must not carry what padding happens to hold");

inline constexpr std::uint64_t kCardMagic = 0x314d49536b636f73;
inline constexpr std::uint32_t kOfferKind = 1;
inline constexpr std::uint32_t kAnswerKind = 2;
inline constexpr std::uint32_t kCarriesMessages = 1;
inline constexpr std::uint32_t kHostsMemory = 2;

}  // namespace sansock::simulated
