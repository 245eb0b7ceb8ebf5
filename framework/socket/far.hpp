// A peer process on another host: the TCP connection between the two helpers, and what stands here for memory that cannot be shared.
//
// Over the connection go the helpers' messages (socket/message.hpp) and, for each connection that was attached, its cold words
// (stream/words.hpp), each time that they change. Those are laid down in a mirror of the peer's slot. docs/stream-protocol.md, "Between
// hosts", says why they do not travel in the application's own TCP connection.
//
// Messages are in the order of this machine: both ends have said which that is.
#pragma once
#include "socket/agent_message.hpp"
#include "socket/process.hpp"
#include "stream/words.hpp"

namespace sansock::socket {

struct Message;

inline constexpr uint32_t kFarMagic = 0x31466e73;  // "snF1"; another byte order shows here

enum class FarType : uint32_t {
    kMessage = 1,  ///< Message
    kWords,        ///< FarWords
    kAsk,          ///< FarSlot: everything that was said of this slot of yours before shall have come when the answer does.
    kTold,         ///< FarSlot: the answer.
};

struct FarHead {
    uint32_t magic = kFarMagic;
    FarType type{};
    uint32_t size = 0;  ///< Bytes that follow.
    uint32_t reserved = 0;
};

struct FarSlot {
    uint32_t arena = 0, slot = 0;
};

/// Of a slot of the sender's.
struct FarWords {
    FarSlot of;
    stream::Words words{};
};

inline constexpr uint32_t kFarBodyMax = 2048;

/// Lies in an array that is never unmapped, at the peer's number; a thread that was about to tell the peer before this one finds it whole.
struct FarLink {
    ProcessLock words_lock;          ///< From reading a slot's words until they are sent; taken before the peer's channel_lock.
    uint64_t holder = 0;             ///< The daemon's number of the peer's process; 0: it has come to us.
    int32_t owner = 0;               ///< The process whose helper speaks here,
    int owner_doorbell = 0;          ///< and how a child of it asks it to: its eventfd.
    uint64_t lost_ns = 0;            ///< When the channel ended.
    std::atomic<bool> broke{false};  ///< And not after the last thing that was said.
    /// The next two under the peer's channel_lock: what the kernel has not taken yet.
    uint32_t unsent = 0;
    uint8_t out[256 * 1024];
    std::atomic<bool> flush_wanted{false};
    /// What there was no room for, by slot: words of ours, answers about ours, and questions about the peer's.
    struct Owed {
        std::atomic<uint64_t> slots[kArenasPerPeer][memory::kSlotsPerArena / 64];
    };
    Owed owed_words{}, owed_answers{}, owed_questions{};
    std::atomic<bool> owes{false};
    bool writable_watched = false;
    // What the helper has read, and the slots that stand for the peer's.
    uint32_t received = 0;
    uint8_t in[sizeof(FarHead) + kFarBodyMax];
    memory::Arena mirrors[kArenasPerPeer];
};

/// 0, -EAGAIN (nothing was taken), or another negative errno when the channel is no more; any thread.
int far_send(Peer &peer, FarType type, const void *body, uint32_t size);
/// Bytes that come before all others: what the other host's daemon wants to see.
void far_begin(Peer &peer, const void *bytes, uint32_t size);
/// The helper's: what is left goes on its way. True when nothing is left.
bool far_flush(Peer &peer);
/// The process ends, and with it the channel: whether the peer's kernel has all that was said, so that none of it is lost if ours then
/// finds unread words and resets. From then on nothing is said any more.
bool far_conclude(Peer &peer);
/// The helper's: 0 and the next message, -EAGAIN, -EPROTO, or another negative errno when the channel has ended.
int far_receive(Peer &peer, FarHead &head, const uint8_t *&body);

/// The words of a slot of ours, as they stand; any thread. What there is no room for is told when there is.
void far_tell(Peer &peer, uint32_t arena, uint32_t slot);
/// kAsk about a slot of the peer's, or kTold about one of ours, likewise; the helper.
void far_ask(Peer &peer, FarType type, const FarSlot &slot);
/// The helper's: what was owed. True when nothing is any more.
bool far_pay(Peer &peer);
/// The mirror of a slot of the peer's, empty. False: there is no memory, or there are no such slots.
bool far_mirror(Peer &peer, uint32_t arena, uint32_t slot);
/// Nothing of the peer is used any more.
void far_release(Peer &peer);

}  // namespace sansock::socket
