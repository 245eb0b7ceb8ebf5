// A TCP connection as the library sees it: what every process of the family shares (SharedConnection), and one
// process's view of it (Connection). Both live in arrays that are never unmapped, so a stale pointer finds a dead
// object, never freed memory.
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include <new>

#include "socket/holders.hpp"
#include "stream/end.hpp"

namespace sansock::socket {

struct Peer;
struct EpollItem;
struct Courier;

enum class Role : uint8_t { kConnect, kAccept, kNone /* not connected yet, or a listener */ };

enum class Phase : uint8_t {
    kFree = 0,
    kSpare,        ///< Free as well: the process that closed it has the place at hand for its next connection.
    kUnconnected,  ///< Known before it is connected, so that what is copied or watched meanwhile is known too.
    kTracked,      ///< On TCP; calls and bytes are counted.
    kMeeting,      ///< Has moved enough; the helper looks for the peer.
    kAttached,     ///< Both ends' memory is mapped; the stream decides.
    kTcpOnly,      ///< Stays with the kernel for good.
    kLingering,    ///< Closed by the application; the helper waits for the peer to read the rest.
};

inline bool is_free(Phase phase) { return phase == Phase::kFree || phase == Phase::kSpare; }

/// O_NONBLOCK, as far as it is known: most connections are closed before anybody has to ask.
enum class Blocking : uint8_t { kUnknown = 0, kYes, kNo };

/// Whether the connection may use TCP for its bytes.
enum class Requirement : uint8_t {
    kNone = 0,  ///< It may.
    kAsked,     ///< Not before the helper has looked at its route.
    kRequired,  ///< Never: it moves before its first byte or fails.
};

inline constexpr size_t kDetailMax = 128;

struct SharedConnection {
    stream::State stream;
    alignas(64) std::atomic<uint8_t> phase;
    Role role;
    std::atomic<Blocking> blocking;
    std::atomic<uint32_t> generation;
    Holders holders;
    std::atomic<uint64_t> receive_timeout_ns;  ///< SO_RCVTIMEO; 0: none.
    std::atomic<uint64_t> send_timeout_ns;
    std::atomic<uint32_t> send_buffer_shown;  ///< SO_SNDBUF as the application knows it; 0: as the kernel says.
    linger linger_asked;                      ///< The application's SO_LINGER, while the socket has one that guards a replay.
    std::atomic<bool> lingers_for_us;         ///< It has.
    std::atomic<Requirement> requirement;
    std::atomic<bool> route_known;  ///< The next two are what its route says, in place of the process's earliest.
    std::atomic<uint32_t> after_calls;
    std::atomic<uint64_t> after_bytes;
    std::atomic<uint32_t> calls_in;
    std::atomic<uint32_t> calls_out;
    sockaddr_in6 local;  ///< IPv4 as v4-mapped, so that both ends compare alike.
    sockaddr_in6 remote;
    char guid[40];  ///< Of the provider that carries it or did; empty: none.
    char plugin[32];
    char detail[kDetailMax];  ///< Under detail_lock of whichever process writes or reads it. Who or what is behind the reason, for people;
                              ///< empty: nothing to add.
    std::atomic<bool> memory_left;  ///< What the family has of both ends' memory was given back.
    std::atomic<uint32_t> next_free;
};

/// The end that was connected to; routes are about it.
inline const sockaddr_in6 &server_of(const SharedConnection &shared) {
    return shared.role == Role::kConnect ? shared.remote : shared.local;
}

/// Adapts a Connection to what the stream asks of the world.
class ConnectionEnvironment final : public stream::Environment {
public:
    explicit ConnectionEnvironment(struct Connection &connection) : c_(connection) {}
    long tcp_send(const iovec *parts, int count, int flags) override;
    long tcp_receive(const iovec *parts, int count, int flags) override;
    long tcp_unsent() override;
    long tcp_unread() override;
    long tcp_counts(stream::KernelCounts &counts) override;
    bool tcp_has_error() override;
    void tcp_shutdown_write() override;
    void tcp_acknowledge() override;
    uint64_t now_ns() override;
    void tcp_guard(bool on) override;
    void tcp_poison() override;
    void ring_peer_helper() override;
    void ring_own_helper() override;
    void wake_peer_readers() override;
    void wake_peer_writers() override;
    void path_opens(uint64_t at) override;
    void tcp_is_silent() override;
    void words_changed() override;
    void tcp_end_seen() override;
    void wake_own() override;

private:
    void wake_objects_of_peer();
    bool wakes_by_messages();
    struct Connection &c_;
};

/// When to spin and when to sleep at once: spinning pays only where the answer comes within a few microseconds and the peer
/// has a CPU of its own.
struct SpinPolicy {
    Relaxed<uint32_t> mean_wait_ns;  ///< Moving average of the waits.
    void learn(uint32_t waited_ns) {
        const auto mean = static_cast<int32_t>(mean_wait_ns);
        mean_wait_ns = static_cast<uint32_t>(mean + (static_cast<int32_t>(waited_ns) - mean) / 8);
    }
    Relaxed<uint64_t> slept_ns;  ///< The last wait that ended in a sleep.
    Relaxed<uint32_t> probe;     ///< Counts waits that did not spin; one in a while spins, to notice that times have changed.
};

/// A descriptor, or -1; memory that nobody has written to yet holds none.
class DescriptorWord {
public:
    [[nodiscard]] int load() const { return ~word_.load(std::memory_order_acquire); }
    void store(int fd) { word_.store(~fd, std::memory_order_release); }
    int exchange(int fd) { return ~word_.exchange(~fd, std::memory_order_acq_rel); }

private:
    std::atomic<int> word_;
};

/// What stays where it is while one connection after the other has the place: who passes by, the helper or a thread that was told of
/// activity on the former connection, finds it whole at any time.
struct ConnectionPlace {
    /// A descriptor of this process that refers to the connection; -1: none, and nothing of ConnectionView means anything to a passer-by.
    DescriptorWord fd;
    uint32_t index;  ///< This and the next are the place's own: the same for all its connections.
    SharedConnection *shared;
    ProcessLock fd_lock;  ///< Held while the helper uses `fd`, so that a close cannot give the number away.
    ProcessLock items_lock;
    std::atomic<EpollItem *> items;
    ProcessLock detail_lock;
    std::atomic<uint32_t> kept_by;  ///< Registrations through which threads look at the connection that has closed: until they are done,
                                    ///< the place is not used again.
    std::atomic<bool>
        orphan;  ///< We have let go of the connection, siblings had not; what we have of its memory is there still. Changed under fd_lock.
};

/// What starts anew with every connection.
struct ConnectionView {
    std::atomic<uint32_t> refs{0};  ///< Descriptors of this process that refer to it.
    Relaxed<uint32_t> generation;   ///< Of the shared half, as this process knows it.
    Peer *peer = nullptr;
    uint32_t arena = 0, slot = 0;  ///< Ours, within the peer's pair.
    uint32_t peer_arena = 0, peer_slot = 0;
    std::atomic<bool> mapped{false};  ///< end() may be used in this process.
    SpinPolicy spin_in, spin_out;
    /// Threads of this process that sleep in a call on it. As in the kernel, the connection lives until they have returned.
    std::atomic<uint32_t> waiting[8] = {};
    enum Closing : uint32_t { kOpen = 0, kClosing, kPostponed };
    std::atomic<uint32_t> closing{kOpen};
    Relaxed<bool> bytes_watched{false};                      ///< The helper hears of bytes by TCP.
    uint32_t unlent_at = 0;                                  ///< State::lent when the helper saw nobody else hold the socket.
    uint32_t told_far = 0;                                   ///< The attention count when the helper told a peer on another host last.
    uint64_t far_sent = 0, far_wait_ns = 0, far_due_ns = 0;  ///< Meetings::rest_far().
    uint64_t rested_at = 0;                                  ///< Bytes sent when the helper looked last for buffers to give back.
    bool reset_logged = false;                               ///< The helper has said in the log why the library reset it.
    uint64_t required_until_ns = 0;                          ///< When a required connection must have moved.
    bool reported = false;                                   ///< Its line was written when this process was about to end.
    void *endpoint = nullptr;                 ///< The provider's, where its path is our memory; closed through Runtime::retire().
    std::atomic<Courier *> courier{nullptr};  ///< Carries its messages, where the path is none.
    Courier *idle_courier = nullptr;          ///< Did until it stepped back, and may again; the helper's.
    /// What of it the process has that we were forked from, until we use it.
    enum Inherited : uint8_t { kNothing = 0, kMemory, kCourier };
    std::atomic<uint8_t> inherited{kNothing};

    alignas(stream::End) unsigned char end_storage[sizeof(stream::End)];
    alignas(ConnectionEnvironment) unsigned char environment_storage[sizeof(ConnectionEnvironment)];
};

struct Connection : ConnectionPlace, ConnectionView {
    [[nodiscard]] stream::End &end() { return *std::launder(reinterpret_cast<stream::End *>(end_storage)); }
    [[nodiscard]] ConnectionEnvironment &environment() {
        return *std::launder(reinterpret_cast<ConnectionEnvironment *>(environment_storage));
    }
    /// Of one that is mapped.
    [[nodiscard]] bool goes_by_messages() { return end().memory().path != end().memory().peer; }
    [[nodiscard]] Phase phase() const { return static_cast<Phase>(shared->phase.load(std::memory_order_acquire)); }
    /// This process has a descriptor of it. False also for what only siblings ever held.
    [[nodiscard]] bool is_open() const { return fd.load() >= 0; }
    /// Some process of the family has the connection still, or may have died with it; else the place is free or another one's.
    [[nodiscard]] bool is_in_family() const {
        return generation == shared->generation.load(std::memory_order_relaxed) && !is_free(phase());
    }
    void set_phase(Phase phase) { shared->phase.store(static_cast<uint8_t>(phase), std::memory_order_release); }
    [[nodiscard]] stream::Reason reason() const {
        return static_cast<stream::Reason>(shared->stream.reason.load(std::memory_order_relaxed));
    }
    void set_reason(stream::Reason reason) { shared->stream.reason.store(static_cast<uint8_t>(reason), std::memory_order_relaxed); }
    void construct_end(const stream::End::Memory &memory) {
        new (environment_storage) ConnectionEnvironment(*this);
        new (end_storage) stream::End(shared->stream, memory, environment());
        mapped.store(true, std::memory_order_release);
    }
};

}  // namespace sansock::socket
