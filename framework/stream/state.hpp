// The state of one connection end that every process holding it shares. It lies in memory shared across fork, starts
// as zeros, and has no pointers: each process maps the arenas where it likes.
#pragma once
#include <atomic>
#include <cstdint>

#include "base/family_lock.hpp"
#include "base/relaxed.hpp"
#include "stream/copy_policy.hpp"

namespace sansock::stream {

/// kLeft: the memory was given back, and may be another connection's. A thread that came before the close finds that under the lock.
enum class Path : uint8_t { kTcp = 0, kProvider = 1, kLeft = 2 };

/// Why a connection is on TCP. The text and the name in reports: stream/reason.hpp.
enum class Reason : uint8_t {
    kNone = 0,
    kNotYet,      ///< Too little has moved to repay the set-up.
    kForbidden,   ///< A route says `forbid`.
    kNoRoute,     ///< No route matches.
    kRemoteHost,  ///< The peer is on another host, and no provider of the route crosses hosts.
    kPeerSilent,  ///< The other end's process did not answer the meeting in time: it does not run under sansock.
    kPeerDeclined,
    kPeerUser,      ///< The policy does not allow the peer's user.
    kSharedFd,      ///< More than one process holds the socket.
    kUnseenIo,      ///< Bytes moved past the library.
    kForeignBytes,  ///< Bytes appeared on TCP while the stream was on a provider: the connection was reset.
    kHalfClosed,    ///< One direction ended before the upgrade.
    kUnmodelled,    ///< A call that user space cannot model.
    kExec,          ///< The socket goes to another program image.
    kPassed,        ///< The descriptor was passed to another process.
    kNoProvider,    ///< The provider could not be opened.
    kMaxMemory,
    kNoResources,  ///< Descriptors, threads or address space ran out.
    kProtocol,     ///< The peer broke the protocol.
    kProviderFailed,
    kDrained,
    kIoUring,
    kStandardIo,   ///< The socket was given to stdio.
    kChannelLost,  ///< What a peer on another host has said last is not known: the connection was reset.
};

/// Messages are counted by their size: up to 64 bytes, up to four times as many each, and all that are longer than 1 MiB.
inline constexpr uint32_t kSizes = 9;

/// Sending half. All written under `lock`, but for what is atomic.
struct OutState {
    FamilyLock lock;
    Relaxed<Path> path;
    Relaxed<bool> stopped;    ///< A STEP is under way: nothing may be sent until it is done.
    Relaxed<bool> fin;        ///< shutdown(SHUT_WR) was called; the stream ends at `out`.
    uint16_t segment_buffer;  ///< Buffer of the open segment.
    uint16_t buffers_held;
    uint16_t buffers_max;              ///< send_buffers of the provider.
    std::atomic<uint64_t> out;         ///< Bytes that the application was told are sent.
    uint64_t skipped;                  ///< Bytes of `out` that TCP never carried.
    uint64_t skipped_before;           ///< The same when the current epoch began.
    Relaxed<uint64_t> switched_at;     ///< X of the current epoch.
    Relaxed<uint64_t> consumed;        ///< The peer's consumed as last believed.
    uint64_t window;                   ///< The most bytes that may be kept (I2).
    uint64_t segment_start;            ///< Stream offset of the open segment's first byte.
    uint64_t inline_free_at;           ///< The inline buffer may be reused once the peer has consumed this far.
    uint64_t hold_at;                  ///< Bytes are held back for the kernel queue to run empty once this much has been sent.
    std::atomic<uint64_t> held_until;  ///< In ns; 0: nothing is held back.
    uint64_t replayed;                 ///< Next byte that a replay sends.
    uint32_t closed;
    uint32_t reclaimed;
    Relaxed<uint32_t> epoch_switched;  ///< Epoch of switched_at.
    Relaxed<bool> replaying;
    Relaxed<bool> guarded;  ///< The linger guard is on: the kernel has not taken all of a replay yet; or what is kept for a peer on another
                            ///< host would die with this one.
    uint32_t woken_ticket;  ///< The peer's parked_in ticket that was woken last.
    std::atomic<uint64_t> bytes_provider;
    std::atomic<uint64_t> full;           ///< Calls that found no room for all that they sent, for the peer had yet to read.
    std::atomic<uint64_t> sizes[kSizes];  ///< Calls that sent by the provider, by what they wanted to send.
    CopyPolicy copy;
};

/// Receiving half, all written under `lock`.
struct InState {
    FamilyLock lock;
    Relaxed<Path> path;
    Relaxed<bool> rd_shut;     ///< shutdown(SHUT_RD) was called.
    Relaxed<bool> end_seen;    ///< TCP was at its end when a peer on another host had yet to say what that means.
    bool reset_owed;           ///< The kernel's reset was taken from it while bytes still lay in the window; told after them.
    bool direct;               ///< The peer is gone: what messages did not bring is read from its own window.
    std::atomic<uint64_t> in;  ///< Bytes that the application has read.
    uint64_t skipped, skipped_before;
    uint64_t tail;                       ///< The peer's tail as last believed.
    std::atomic<uint64_t> acknowledged;  ///< `in` when the kernel was last asked to acknowledge at once.
    uint32_t closed_read;
    uint32_t woken_ticket;
    std::atomic<uint64_t> bytes_provider;
};

struct State {
    alignas(64) OutState out;
    alignas(64) InState in;
    alignas(64) std::atomic<uint32_t> attached;  ///< 1: both ends' slots are mapped and the words below mean something.
    FamilyLock step_lock;                        ///< Taken before the other two, by whoever moves a step or an epoch on.
    std::atomic<uint32_t> epoch;                 ///< The epoch that is on, or that comes next: odd.
    std::atomic<uint32_t> step_wanted;           ///< Epoch in which somebody who holds a lock has found that it must end.
    std::atomic<uint32_t> attention;             ///< The peer's attention count as last handled.
    std::atomic<uint32_t> pinned;                ///< 1: this connection will not (again) leave TCP.
    std::atomic<uint32_t> lent;         ///< Not 0: it stays on TCP for a while. kDrainBit, and how often it was lent: another program may
                                        ///< hold the socket, until none does any more.
    std::atomic<uint32_t> deserted;     ///< 1: no process of the peer's is left that could answer; its socket may live on.
    std::atomic<uint32_t> tcp_ended;    ///< TcpEnd, as the helper saw it while the stream was on the provider.
    std::atomic<uint32_t> peer_closed;  ///< 1: the peer's application has closed its end with nothing of ours unread.
    std::atomic<uint32_t> error_told;   ///< 1: error_of_loss() was answered; like the kernel's, it is told once.
    std::atomic<uint8_t> reason;        ///< Reason
    std::atomic<uint32_t> error_owed;   ///< An errno that the kernel has told us and that no call has told the application.
    std::atomic<uint32_t> events;       ///< Counts what waiters must look at again; the second word of their futex.
    FamilyLock park_lock;
    uint32_t sleepers_in, sleepers_out;  ///< Threads asleep until the peer's tail, or consumed, moves; under park_lock.
    uint32_t park_ticket;
    std::atomic<uint32_t> kernel_writes;  ///< Threads inside the kernel's write path that took no lock.
    std::atomic<uint32_t> kernel_reads;   ///< Threads inside, or asleep in, the kernel's read path or a wait that covers TCP alone.
    std::atomic<uint32_t> upgrades;
    std::atomic<uint32_t> epoch_counted;  ///< The last epoch in which either direction was on the provider.
    std::atomic<uint32_t> step_backs;
    bool required;  ///< No byte may go over TCP: what cannot stay on the provider fails.
};

inline constexpr uint32_t kDrainBit = 1u << 31;  ///< In State::lent: the provider is drained.

enum TcpEnd : uint32_t { kTcpOpen = 0, kTcpFin = 1, kTcpReset = 2 };

}  // namespace sansock::stream
