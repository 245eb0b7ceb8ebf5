// What a stream needs from the world outside its own memory. The socket layer implements it with the kernel's TCP socket; the
// simulation implements it with a bounded queue and a scheduler that may stop anybody for ever.
#pragma once
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

namespace sansock::stream {

/// Bytes that the kernel's TCP has carried on this connection, without SYN and FIN.
struct KernelCounts {
    uint64_t sent = 0;      ///< Written by this end (acknowledged or still queued).
    uint64_t received = 0;  ///< Arrived at this end (read or still unread).
};

/// No call blocks. Results are as the kernel's: a count, 0, or a negative errno.
class Environment {
public:
    virtual long tcp_send(const iovec *parts, int count, int flags) = 0;
    virtual long tcp_receive(const iovec *parts, int count, int flags) = 0;
    virtual long tcp_unsent() = 0;  ///< SIOCOUTQ
    virtual long tcp_unread() = 0;  ///< SIOCINQ
    virtual long tcp_counts(KernelCounts &counts) = 0;
    virtual bool tcp_has_error() = 0;  ///< An error waits to be told (POLLERR); looking does not take it.
    virtual void tcp_shutdown_write() = 0;
    virtual void tcp_acknowledge() = 0;  ///< Sends the acknowledgement that the kernel holds back, if it does.
    /// From now on, death of this process must reach the peer as a reset, not as a clean end; and no longer so.
    virtual void tcp_guard(bool on) = 0;
    /// Ends the connection for good: whoever holds it reads ECONNRESET, the peer gets RST.
    virtual void tcp_poison() = 0;

    virtual uint64_t now_ns() = 0;

    /// The peer's helper thread shall look at the cold words.
    virtual void ring_peer_helper() = 0;
    /// Our own helper shall call progress(). It does so by itself when the socket takes bytes again while a replay is under way.
    virtual void ring_own_helper() = 0;
    /// Wakes the peer's threads that sleep until this end's tail, or consumed, moves; and its wake objects.
    virtual void wake_peer_readers() = 0;
    virtual void wake_peer_writers() = 0;
    /// From now on this end reads the path, from that byte on; where messages fill it, it may not show so much as that yet.
    virtual void path_opens(uint64_t /*at*/) {}
    /// It does so: what comes by TCP now is nobody's.
    virtual void tcp_is_silent() {}
    /// The cold words have changed: a peer on another host is to be told.
    virtual void words_changed() {}
    /// TCP has ended, and a peer on another host may have said more than has come: tcp_ended() when it has.
    virtual void tcp_end_seen() {}
    /// Wakes this end's own waiters: the answer that they wait for has changed.
    virtual void wake_own() = 0;

protected:
    ~Environment() = default;
};

}  // namespace sansock::stream
