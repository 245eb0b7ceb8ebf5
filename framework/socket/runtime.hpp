// Configuration and plugins as the socket layer sees them.
//
// What implements this (framework/runtime) brings the C++ runtime, a YAML parser and vendor code along. It is a library of its own,
// loaded with RTLD_LOCAL by the helper thread once a connection is worth moving, so that programs which never get there
// are not burdened. All calls come from the helper thread, but for retire().
#pragma once
#include <netinet/in.h>
#include <sys/types.h>

#include <cstdint>
#include <span>

#include "socket/launch.hpp"
#include "socket/policy.hpp"
#include "stream/state.hpp"

namespace sansock::socket {

inline constexpr uint32_t kOfferMax = 512;  ///< Bytes of an offer or an answer.

struct OfferBytes {
    uint32_t size = 0;
    uint8_t data[kOfferMax] = {};
    [[nodiscard]] std::span<const uint8_t> bytes() const { return {data, size <= kOfferMax ? size : 0}; }
};

/// What a route says of one connection.
struct Choice {
    stream::Reason refused = stream::Reason::kNone;  ///< Why it stays on TCP; kNone: it may move.
    uint32_t provider = 0;                           ///< In the configuration's order.
    uint32_t send_buffers = 0;
    uint32_t buffer_size = 0;
    uint64_t max_memory = 0;
    char guid[40] = {};
    char plugin[32] = {};
};

class Runtime {
public:
    virtual const Policy &policy() = 0;
    /// `server`: the address of the connection's server side.
    virtual Choice choose(const sockaddr_in6 &server) = 0;
    virtual bool may_share(uid_t one, uid_t other) = 0;
    /// A line in the log.
    virtual void warn(const char *text) = 0;

    /// An endpoint of a provider, or nullptr (the reason is in the log). The connecting side offers, the accepting side answers; an
    /// endpoint is usable when its provider lets the framework's own memory be the path.
    virtual void *offer(uint32_t provider, OfferBytes &offer) = 0;
    virtual void *accept(uint32_t provider, const OfferBytes &offer, OfferBytes &answer) = 0;
    virtual bool take_answer(void *endpoint, const OfferBytes &answer) = 0;
    virtual bool shares_memory(void *endpoint) = 0;
    /// The endpoint is no longer needed; any thread. It is closed at the next call from the helper.
    virtual void retire(void *endpoint) = 0;

protected:
    ~Runtime() = default;
};

}  // namespace sansock::socket

/// Loads the configuration and the catalog of plugins. `launch` outlives the runtime. nullptr: neither can be used; the log says why.
extern "C" sansock::socket::Runtime *sansock_runtime_open(const sansock::socket::Launch &launch);
