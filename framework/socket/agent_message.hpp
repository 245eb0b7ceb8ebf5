// What a process and sansockd say to each other over the daemon's Unix socket (SOCK_SEQPACKET, one message a packet).
//
// Both may be of different versions: a message may be longer than whoever reads it knows, and what it does not know it ignores.
#pragma once
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

/// False: the directory's name is too long.
inline bool control_address(const char *directory, const char *socket, sockaddr_un &address) {
    address = {};
    address.sun_family = AF_UNIX;
    const int size = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, socket);
    return size > 0 && size < static_cast<int>(sizeof address.sun_path);
}

}  // namespace sansock::socket
