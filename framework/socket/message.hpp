// What two helpers say to each other over their Unix socket (SOCK_SEQPACKET, one message a packet).
#pragma once
#include <netinet/in.h>

#include <cstdint>
#include <utility>

#include "socket/runtime.hpp"

namespace sansock::socket {

inline constexpr uint32_t kMessageMagic = 0x314d6e73;  // "snM1"
inline constexpr uint32_t kMessageVersion = 2;

enum class MessageType : uint32_t {
    kHello = 1,   ///< First, both ways: who I am. No descriptor is passed before it was checked.
    kWelcome,     ///< My helper's doorbell (descriptor). The sender has accepted the other's credentials.
    kArena,       ///< An arena of mine (descriptor), `arena`.
    kPropose,     ///< Let us move this connection; my socket as proof (descriptor), `arena`, `slot`.
    kAccept,      ///< Yes; my socket as proof (descriptor), `arena`, `slot`.
    kDecline,     ///< No: `reason`; kNotYet: ask again later.
    kWakeObject,  ///< A wake object of mine (descriptor), `waker`.
    kReleased,    ///< I look at your `arena`, `slot` no more.
    kReturn,      ///< The connection of my `arena`, `slot` shall go by messages again: an offer, for the epoch in `token`.
    kReturned,    ///< The answer, about a slot of mine; or `reason`.
};

/// Its descriptors are the sender's socket, and what the provider's offer or answer brings.
inline bool brings_offer(MessageType type) {
    return type == MessageType::kPropose || type == MessageType::kAccept || type == MessageType::kReturn || type == MessageType::kReturned;
}

/// The descriptors of an offer or an answer, which close themselves.
struct OwnedFds : OfferFds {
    OwnedFds() = default;
    explicit OwnedFds(const OfferFds &taken) : OfferFds(taken) {}
    OwnedFds(const OwnedFds &) = delete;
    OwnedFds &operator=(const OwnedFds &) = delete;
    ~OwnedFds();
    /// They are the caller's from now on.
    OfferFds release() { return std::exchange(static_cast<OfferFds &>(*this), {}); }
};

struct Message {
    uint32_t magic = kMessageMagic;
    MessageType type = MessageType::kHello;
    uint32_t version = kMessageVersion;
    int32_t pid = 0;
    uint64_t started = 0;            ///< The process's start time: with the pid a name that is never reused.
    uint64_t network_namespace = 0;  ///< SO_NETNS_COOKIE
    sockaddr_in6 local{};            ///< The sender's view of the connection.
    sockaddr_in6 remote{};
    uint32_t arena = 0;
    uint32_t slot = 0;
    uint64_t token = 0;
    uint64_t peer_token = 0;
    uint32_t reason = 0;
    uint32_t waker = 0;
    char guid[40] = {};          ///< The provider of the proposal.
    OfferBytes offer;            ///< The provider's offer, or its answer. Its descriptors follow the socket.
    uint32_t receives = 0;       ///< Where the provider carries messages: how many receives are posted,
    uint64_t message_bytes = 0;  ///< and how long a message they take.
    uint8_t proof[16] = {};      ///< Between hosts, in a proposal: the daemons' token, in place of the socket.
};

}  // namespace sansock::socket
