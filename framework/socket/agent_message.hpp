// What a process and sansockd say to each other over the daemon's Unix socket (SOCK_SEQPACKET, one message a packet).
//
// Both may be of different versions: a message may be longer than whoever reads it knows, and what it does not know it ignores.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdint>
#include <cstdio>

#include "socket/guid_text.hpp"

namespace sansock::socket {

inline constexpr uint32_t kAgentMagic = 0x3167416e;  // "nAg1"
inline constexpr const char *kControlDirectory = "/run/sansock";
inline constexpr const char *kAgentSocket = "agents";
inline constexpr const char *kManagementSocket = "management";

enum class AgentType : uint32_t {
    kHello = 1,  ///< First, from the process: who it is. With the board of its family (descriptor), for reading.
    kDrain,      ///< From the daemon, when that changes and after a hello: all providers that are drained.
    kDrained,    ///< From the process: how far it has got with a kDrain.
    kReload,     ///< From the daemon: the configuration shall be read anew.
    kReloaded,   ///< From the process: whether it was.
    kRegister,   ///< From the process: it holds this connection, which may leave TCP (descriptor: its socket, as proof).
    kForget,     ///< From the process: no longer.
    kLookUp,     ///< From the process: who holds the other end of the connection that it registered?
    kFound,      ///< From the daemon: the answer; or, unasked, that a connection cannot be registered.
    kExpect,     ///< From the daemon: who holds the other end of this connection of yours has asked for you, and will show this token.
    kChannel,    ///< From the daemon: a peer's process has connected (descriptor, which does not block), and has shown this token.
};

struct AgentHead {
    uint32_t magic = kAgentMagic;
    AgentType type{};
};

struct AgentHello {
    AgentHead head{.type = AgentType::kHello};
    int32_t pid = 0;
    uint32_t reserved = 0;
    uint64_t started = 0;  ///< The process's start time in clock ticks since boot.
    char program[64] = {};
    char config[1024] = {};  ///< Its configuration file; empty: the embedded default. One with a longer name is cut off.
};

inline constexpr uint32_t kDrainsMax = 32;

struct AgentDrain {
    AgentHead head{.type = AgentType::kDrain};
    uint32_t number = 0;  ///< Of this message; answers name it.
    uint32_t count = 0;
    GuidText guids[kDrainsMax] = {};
};

struct AgentDrained {
    AgentHead head{.type = AgentType::kDrained};
    uint32_t number = 0;
    uint32_t in_use = 0;  ///< 1: the connections are on TCP, but something of the providers is in use still.
};

struct AgentReload {
    AgentHead head{.type = AgentType::kReload};
    uint32_t number = 0;  ///< Of this message; the answer names it.
    uint32_t live = 0;    ///< 1: connections that are there already follow as well.
};

struct AgentReloaded {
    AgentHead head{.type = AgentType::kReloaded};
    uint32_t number = 0;
    uint32_t done = 0;    ///< 0: the configuration is wrong, and the one before stays.
    char why[2048] = {};  ///< All that is wrong with it, a line each, as far as there is room.
};

inline constexpr size_t kTokenSize = 16;

/// kRegister, kForget, kLookUp.
struct AgentConnection {
    AgentHead head;
    uint64_t id = 0;                 ///< The process's own name for the connection; comes back in what is said of it.
    sockaddr_in6 local{}, remote{};  ///< v4-mapped where IPv4.
};

enum class FoundStatus : uint32_t {
    kHere = 1,
    kNotThere,  ///< Nobody at the other host holds it, or more than one process does.
    kNoDaemon,  ///< Nobody answers there.
    kRefused,   ///< One of the two daemons will not have it.
    kBusy,      ///< Later, maybe.
};

struct AgentFound {
    AgentHead head{.type = AgentType::kFound};
    uint64_t id = 0;
    FoundStatus status{};
    uint32_t reserved = 0;
    uint64_t holder = 0;  ///< Key of the process that holds it: the same for the same process.
    uint8_t token[kTokenSize] = {};
    sockaddr_in6 channel{};  ///< Where its daemon takes channels.
    char why[256] = {};
};

struct AgentExpect {
    AgentHead head{.type = AgentType::kExpect};
    uint64_t id = 0;
    uint64_t asker = 0;  ///< Key of the asking process.
    uint8_t token[kTokenSize] = {};
    sockaddr_in6 local{}, remote{};
    char host[64] = {};  ///< As its certificate names it.
};

struct AgentChannel {
    AgentHead head{.type = AgentType::kChannel};
    uint8_t token[kTokenSize] = {};
};

/// What a process says first on a channel to another host's daemon, and then nothing until it hears from the process behind it.
struct ChannelOpening {
    uint64_t magic = 0x316e6e6168436e73;  // "snChann1"
    uint8_t token[kTokenSize] = {};
};

/// False: the directory's name is too long.
inline bool control_address(const char *directory, const char *socket, sockaddr_un &address) {
    address = {};
    address.sun_family = AF_UNIX;
    const int size = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, socket);
    return size > 0 && size < static_cast<int>(sizeof address.sun_path);
}

}  // namespace sansock::socket
