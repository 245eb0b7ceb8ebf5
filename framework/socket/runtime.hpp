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

#include "path/endpoint.hpp"
#include "socket/guid_text.hpp"
#include "socket/launch.hpp"
#include "socket/policy.hpp"
#include "stream/state.hpp"

namespace sansock::socket {

inline constexpr uint32_t kOfferMax = 512;  ///< Bytes of an offer or an answer.
inline constexpr uint32_t kOfferFdsMax = 4;

struct OfferBytes {
    uint32_t size = 0;
    uint8_t data[kOfferMax] = {};
    [[nodiscard]] std::span<const uint8_t> bytes() const { return {data, size <= kOfferMax ? size : 0}; }
};

/// The descriptors that travel with an offer or an answer. Whoever is given them closes them.
struct OfferFds {
    uint32_t count = 0;
    int fds[kOfferFdsMax] = {};
};

/// How a provider carries messages, and what of it one connection gets.
struct MessageLimits {
    uint64_t message_bytes = 0;  ///< The longest one.
    uint32_t sends = 0;          ///< Under way at most.
    uint32_t receives = 0;       ///< Posted at most.
    bool answerer_sends_first = false;
};

/// What a route says of one connection.
struct Choice {
    bool required = false;                           ///< The route says `require`.
    stream::Reason refused = stream::Reason::kNone;  ///< Why it stays on TCP; kNone: it may move.
    uint32_t after_calls = 0;                        ///< How much the connection moves before it is worth it: calls,
    uint64_t after_bytes = 0;                        ///< or bytes.
    uint32_t provider = 0;                           ///< In the configuration's order.
    uint32_t send_buffers = 0;
    uint32_t buffer_size = 0;
    uint64_t max_memory = 0;
    bool carries_messages = false;  ///< The provider's path is no memory that both ends map.
    MessageLimits messages;
    char guid[40] = {};
    char plugin[32] = {};
};

class Runtime {
public:
    /// What it answered before stays valid.
    virtual const Policy &policy() = 0;
    /// Reads the configuration anew; it holds for whatever is asked from then on. False: it is wrong, `why` says all that is, and the
    /// one before stays.
    virtual bool reload(std::span<char> why) = 0;
    /// `server`: the address of the connection's server side.
    /// Of the route's providers the first that can be used and that is not among the `refused` ones, a bit each; or the one whose GUID
    /// is `wanted`, if the route names it. `far`: the peer is on another host, to which the provider must reach.
    virtual Choice choose(const sockaddr_in6 &server, uint64_t refused, const char *wanted, bool far = false) = 0;
    virtual bool may_share(uid_t one, uid_t other) = 0;
    /// The providers of these GUIDs, as text, are given to no connection until the list says otherwise.
    virtual void set_drained(std::span<const GuidText> guids) = 0;
    /// Closes the drained ones, and lets go of their plugins, which are looked for anew when they are wanted again. False: some are in use.
    virtual bool release_drained() = 0;
    /// Its device is gone: the provider is given to no connection until it was closed, and then is opened anew after a time.
    virtual void lose(uint32_t provider) = 0;
    /// Those that are to be closed, a bit each.
    virtual uint64_t lost() = 0;
    /// False: it is in use still.
    virtual bool close_lost(uint32_t provider) = 0;
    /// A line in the log.
    virtual void warn(const char *text) = 0;

    /// An endpoint of the chosen provider, or nullptr (the reason is in the log). The connecting side offers, the accepting side
    /// answers, each having posted its receives before where the provider carries messages. False: the reason is in the log.
    virtual void *create(const Choice &choice) = 0;
    virtual bool offer(void *endpoint, OfferBytes &offer, OfferFds &fds) = 0;
    virtual bool accept(void *endpoint, const OfferBytes &offer, const OfferFds &fds, OfferBytes &answer, OfferFds &answer_fds) = 0;
    virtual bool take_answer(void *endpoint, const OfferBytes &answer, const OfferFds &fds) = 0;
    /// The provider lets the framework's own memory be the path.
    virtual bool shares_memory(void *endpoint) = 0;
    /// For providers that carry messages.
    virtual path::Endpoint &messages(void *endpoint) = 0;
    virtual int notification_fd(void *endpoint) = 0;
    /// nullptr: it cannot be registered; the reason is in the log.
    virtual sansock_region *register_memory(uint32_t provider, void *base, uint64_t length) = 0;
    virtual void deregister_memory(sansock_region *region) = 0;
    /// The endpoint is no longer needed: it is closed now.
    virtual void close(void *endpoint) = 0;
    /// As close(), from any thread: it is closed at the next call from the helper.
    virtual void retire(void *endpoint) = 0;

protected:
    ~Runtime() = default;
};

}  // namespace sansock::socket

/// Loads the configuration and the catalog of plugins. `launch` outlives the runtime. nullptr: neither can be used; the log says why.
extern "C" sansock::socket::Runtime *sansock_runtime_open(const sansock::socket::Launch &launch);
/// Of the library that it is part of. Another version's would take what it is passed for something else.
extern "C" const char sansock_runtime_version[];
