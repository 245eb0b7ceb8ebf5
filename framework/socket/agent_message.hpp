// What a process and sansockd say to each other over the daemon's Unix socket (SOCK_SEQPACKET, one message a packet).
//
// Both may be of different versions: a message may be longer than whoever reads it knows, and what it does not know it ignores.
#pragma once
#include <sys/un.h>

#include <cstdint>
#include <cstdio>

namespace sansock::socket {

inline constexpr uint32_t kAgentMagic = 0x3167416e;  // "nAg1"
inline constexpr const char *kControlDirectory = "/run/sansock";
inline constexpr const char *kAgentSocket = "agents";
inline constexpr const char *kManagementSocket = "management";

enum class AgentType : uint32_t {
    kHello = 1,  ///< First, from the process: who it is. With the board of its family (descriptor), for reading.
};

struct AgentMessage {
    uint32_t magic = kAgentMagic;
    AgentType type{};
    int32_t pid = 0;
    uint32_t reserved = 0;
    uint64_t started = 0;  ///< The process's start time in clock ticks since boot.
    char program[64] = {};
    char config[1024] = {};  ///< Its configuration file; empty: the embedded default. One with a longer name is cut off.
};

/// False: the directory's name is too long.
inline bool control_address(const char *directory, const char *socket, sockaddr_un &address) {
    address = {};
    address.sun_family = AF_UNIX;
    const int size = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, socket);
    return size > 0 && size < static_cast<int>(sizeof address.sun_path);
}

}  // namespace sansock::socket
