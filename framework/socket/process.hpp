// What one process knows: its descriptors, its connections, the processes it shares memory with, and what it sleeps on.
//
// Everything lies in arrays reserved once (untouched pages cost nothing) and never freed, because the library lives under code
// that may call it from any thread, from signal handlers and right after fork, where malloc may not be called.
#pragma once
#include <sys/epoll.h>

#include <span>

#include "memory/arena.hpp"
#include "path/registered.hpp"
#include "socket/connection.hpp"
#include "socket/runtime.hpp"
#include "socket/tally.hpp"

namespace sansock::socket {

struct Young;
struct FarLink;

inline constexpr uint32_t kConnectionsMax = 65536;
inline constexpr uint32_t kDescriptorsMax = 1 << 20;
inline constexpr uint32_t kPeersMax = 2048;
inline constexpr uint32_t kArenasPerPeer = 16;
inline constexpr uint32_t kEpollsMax = 4096;
inline constexpr uint32_t kItemsMax = 1 << 18;
inline constexpr uint32_t kLooksForAbandoned = 4;
inline constexpr uint32_t kHelperWaker = 1;  ///< The wake object of the helper itself.

/// What stays where it is while one process after the other has the place: who passes by finds it whole at any time.
struct PeerPlace {
    std::atomic<uint32_t> used;  ///< 1 while what PeerView holds means something.
    std::atomic<bool> alive;     ///< The channel is open.
    std::atomic<int> channel;    ///< SOCK_SEQPACKET, or TCP to another host; written by any thread, under channel_lock but for the helper,
                                 ///< which reads and closes it.
    ProcessLock channel_lock;
    std::atomic<uint32_t> connections;
    std::atomic<uint32_t> our_arenas, their_arenas;
    std::atomic<const memory::Header *>
        their_head;  ///< Of their first arena. Without log_lock only glance() may look: it may go any moment.
    ProcessLock log_lock;
    std::atomic<bool> has_windows;  ///< Some of our arenas are registered with a provider that carries messages.
    std::atomic<bool> owes_releases;
    std::atomic<uint64_t> unused_since_ns;  ///< When its last connection went, and its channel; 0: it is in use.
};

/// What starts anew with every process.
struct PeerView {
    bool inherited;  ///< From the process that this one was forked from; its helper reads the channel.
    int32_t pid;
    uint32_t uid;
    uint64_t started;     ///< With the pid, names the process beyond reuse of its number.
    int helper_doorbell;  ///< The peer helper's eventfd.
    FarLink *far;         ///< It is on another host (socket/far.hpp); nullptr: on this one.
    memory::Arena ours[kArenasPerPeer];
    memory::PeerArena theirs[kArenasPerPeer];
    std::atomic<uint32_t> connection_of_slot[kArenasPerPeer][memory::kSlotsPerArena];  ///< Index + 1, by *the peer's* slot.
    std::atomic<int> wake_fd[memory::kWakeObjects];     ///< The peer's wake objects; eventfd + 1, 0: not told yet.
    std::atomic<uint32_t> woken[memory::kWakeObjects];  ///< The ticket for which each was woken last.
    std::atomic<uint8_t> told[memory::kWakeObjects];    ///< Our wake objects that the peer has been told.
    path::Registered windows[kArenasPerPeer];           ///< Our arenas, for messages. The helper's.
    uint32_t arena_provider[kArenasPerPeer];            ///< Whose buffers each of our arenas holds.
    /// Slots of the peer's that we have left and could not tell it of, by arena; the helper tries again.
    std::atomic<uint64_t> unreleased[kArenasPerPeer][memory::kSlotsPerArena / 64];
    Relaxed<uint32_t> log_read;  ///< Entries of the peer's activity log that were read; under log_lock.
};

/// Another process that shares memory with this one.
struct Peer : PeerPlace, PeerView {};

/// Something that threads of this process sleep on and peers can wake: an eventfd.
struct WakeObject {
    std::atomic<int> fd{-1};
    std::atomic<uint32_t> ticket;  ///< The last ticket given out.
};

struct Epoll;

/// What stays where it is while one registration after the other has the place.
struct EpollItemPlace {
    /// The place and, above that, which use of it this is: the kernel, or another thread, may come with the name of the one before.
    std::atomic<uint32_t> name;
    /// Threads that hold no lock and look at the registration, or through it at its connection. For so long nothing else has their places.
    std::atomic<uint32_t> looked_at;
    std::atomic<Connection *> kept;  ///< Whose place waits for them, once the registration is gone.
};

/// What starts anew with every registration.
struct EpollItemView {
    Epoll *epoll;
    Connection *connection;
    uint32_t generation;  ///< Of the connection.
    int fd;
    Relaxed<uint32_t> events;  ///< As the application asked.
    Relaxed<uint64_t> data;
    Relaxed<uint32_t> kernel_events;  ///< As the kernel knows it.
    Relaxed<bool> in_kernel;
    Relaxed<bool> live;
    std::atomic<bool> disarmed;  ///< EPOLLONESHOT has fired.
    Relaxed<bool> covered;       ///< The epoll instance wakes up for it.
    Relaxed<bool> blocked;       ///< It wants to write and found no room.
    std::atomic<bool> queued;    ///< In the epoll's ready queue.
    struct EpollItem *next_of_connection;
    struct EpollItem *next_ready;
    Relaxed<uint64_t> told;         ///< The epoll_wait call that has told of it last.
    Relaxed<uint32_t> told_events;  ///< What was told last, and how far the streams were then; for edges.
    Relaxed<uint64_t> told_tail, told_out;
    Relaxed<uint32_t> told_ends;
    Epoll *inner;  ///< An epoll instance in place of a connection.
};

struct EpollItem : EpollItemPlace, EpollItemView {};

struct Epoll {
    std::atomic<uint32_t> used;
    int fd;
    std::atomic<uint32_t> refs;
    std::atomic<uint16_t> waker;     ///< Wake object; kNoWaker until the first connection is attached.
    std::atomic<uint32_t> attached;  ///< Items whose connection is attached.
    std::atomic<uint32_t> items;
    std::atomic<uint32_t> sets;  ///< Epoll instances registered in this one.
    ProcessLock lock;
    Relaxed<EpollItem *> ready_head, ready_tail;
    std::atomic<uint32_t> asleep;     ///< Threads in the kernel's wait.
    std::atomic<bool> nested;         ///< The instance is itself watched.
    Relaxed<bool> inherited;          ///< From the process that this one was forked from, and not waited on since.
    Relaxed<bool> blocked;            ///< An item that wants to write found no room.
    Relaxed<bool> held;               ///< Or is held back for a while, of whose end nobody tells.
    ProcessLock park_lock;            ///< Taken before a peer's log_lock, and never with `lock`.
    uint32_t parked;                  ///< Threads that have announced that they sleep; under park_lock.
    Relaxed<uint64_t> kernel_looked;  ///< In ticks; 0: it had something to tell, and may have more.
    Relaxed<uint32_t> full_answers;   ///< In a row, with no room for what the kernel has to tell.
    SpinPolicy spin;
};

class Process {
public:
    /// Made at the first socket call that matters. nullptr: not yet.
    static Process *get() { return instance_.load(std::memory_order_acquire); }
    static Process *get_or_create();

    // --- descriptors ---
    /// A young one (socket/young.hpp) grows up for it.
    [[nodiscard]] Connection *connection(int fd) {
        const uint32_t entry = entry_of(fd);
        if ((entry & kKindMask) == kConnectionKind) return &connections_[entry & kIndexMask];
        return __builtin_expect((entry & kKindMask) == kYoungKind, 0) ? grow_up(fd) : nullptr;
    }
    /// nullptr also for a young one.
    [[nodiscard]] Connection *tracked(int fd) const {
        const uint32_t entry = entry_of(fd);
        return (entry & kKindMask) == kConnectionKind ? &connections_[entry & kIndexMask] : nullptr;
    }
    [[nodiscard]] bool is_young(int fd) const { return (entry_of(fd) & kKindMask) == kYoungKind; }
    [[nodiscard]] Young &young(int fd);
    void bind_young(int fd);
    [[nodiscard]] Epoll *epoll(int fd) const {
        const uint32_t entry = entry_of(fd);
        return (entry & kKindMask) == kEpollKind ? &epolls_[entry & kIndexMask] : nullptr;
    }
    void bind(int fd, Connection &connection);
    void bind(int fd, Epoll &epoll);
    void unbind(int fd) { table_[fd].store(0, std::memory_order_release); }
    [[nodiscard]] int highest_fd() const { return highest_fd_.load(std::memory_order_relaxed); }

    // --- connections ---
    /// The caller binds `fd` to it.
    Connection *new_connection(int fd, Role role);
    /// The shared half starts anew, for a connection that is none of its former self's.
    void begin(Connection &connection, Role role);
    void free_connection(Connection &connection);
    /// Gives the places of freed connections away again. The helper calls it where it holds none of them.
    void recycle();
    [[nodiscard]] Connection &connection_at(uint32_t index) { return connections_[index]; }
    [[nodiscard]] SharedConnection &shared_at(uint32_t index) { return shared_connections_[index]; }
    [[nodiscard]] uint32_t connections_used() const { return shared_->fresh.load(std::memory_order_relaxed); }

    Epoll *new_epoll(int fd);
    EpollItem *new_item();
    void free_item(EpollItem *item);
    /// The registration of that name, looked at until done_looking(); nullptr: that one is gone.
    [[nodiscard]] EpollItem *look_at(uint32_t name) {
        EpollItem &item = items_[name % kItemsMax];
        item.looked_at.fetch_add(1, std::memory_order_seq_cst);
        if (item.name.load(std::memory_order_seq_cst) == name) return &item;
        done_looking(item);
        return nullptr;
    }
    void done_looking(EpollItem &item) {
        if (item.looked_at.fetch_sub(1, std::memory_order_seq_cst) == 1 && item.kept.load(std::memory_order_seq_cst) != nullptr)
            give_up_kept(item);
    }
    /// The first item in use that `wanted` picks.
    template <class Wanted>
    EpollItem *find_item(Wanted wanted) {
        const uint32_t fresh = items_fresh_.load(std::memory_order_relaxed);
        for (uint32_t i = 0; i < fresh; ++i) {
            if (items_[i].live && wanted(items_[i])) return &items_[i];
        }
        return nullptr;
    }
    [[nodiscard]] std::span<Epoll> epolls() { return {epolls_, epolls_fresh_.load(std::memory_order_relaxed)}; }
    /// Queues the items of an epoll instance that found no room to write.
    void queue_blocked(Epoll &epoll);

    // --- peers and wake objects ---
    [[nodiscard]] std::span<Peer> peers() { return {peers_, peers_high_.load(std::memory_order_acquire)}; }
    Peer *new_peer();
    uint16_t new_wake_object();
    void free_wake_object(uint16_t id);
    /// Makes some for whoever needs one later: where they are made, a descriptor is for a moment where the application might look for one.
    void prepare_wake_objects();
    [[nodiscard]] WakeObject &wake_object(uint16_t id) { return wake_objects_[id]; }
    [[nodiscard]] bool owns_wake_object(uint16_t id) const {
        return shared_->wake_owners[id].load(std::memory_order_relaxed) == static_cast<uint32_t>(pid_) && wake_objects_[id].fd.load() >= 0;
    }
    /// Tells every peer that it may find `id` in our hot lines. False: one of them cannot be told.
    bool tell_peers(uint16_t id);

    [[nodiscard]] Tally &tally() { return shared_->tally; }
    /// What the family shows of its connections (socket/board.hpp); -1: there was no descriptor for it.
    [[nodiscard]] int board_fd() const { return board_fd_; }
    /// The helper's line to sansockd, which a child of fork has no part in; -1: none.
    void set_daemon_fd(int fd) { daemon_fd_.store(fd, std::memory_order_relaxed); }

    /// What this process's own arenas of a provider take together.
    [[nodiscard]] memory::Account *account(uint32_t provider) { return provider < kAccounts ? &accounts_[provider] : nullptr; }
    /// Siblings hold what we have closed: the helper looks after it when they have ended.
    void expect_orphans() {
        orphans_expected_.store(true, std::memory_order_release);
        ring_helper();
    }
    /// Some connection is lent to another program: the helper shall look when it has come back.
    void watch_lent() {
        if (!lent_expected_.exchange(true, std::memory_order_acq_rel)) ring_helper();
    }
    /// The helper does so already, however seldom it looks by now.
    [[nodiscard]] bool watches_lent() const { return lent_watched_.load(std::memory_order_relaxed); }
    void note_lent_watched(bool watched) { lent_watched_.store(watched, std::memory_order_relaxed); }
    bool take_lent_expected() { return lent_expected_.exchange(false, std::memory_order_acq_rel); }
    /// Between these two a program is started that inherits what was lent: no process of the family could see it yet.
    void begin_spawn();
    void end_spawn();
    /// Some process of the family that lives is starting one.
    [[nodiscard]] bool is_spawning() const;
    bool take_orphans_expected() { return orphans_expected_.exchange(false, std::memory_order_acq_rel); }
    /// Arenas have grown since the last call.
    bool take_growth() { return grown_.exchange(false, std::memory_order_acq_rel); }

    // --- helper ---
    /// Starts the helper thread if there is none. False: it cannot be started (the connection stays on TCP).
    bool start_helper();
    /// There is none and never will be.
    /// From now on nobody takes himself for the last holder of what this process holds.
    void crowd_all();
    /// It has forked since it came to be itself: what it closes may stay open elsewhere.
    [[nodiscard]] bool has_children() const { return has_children_.load(std::memory_order_relaxed); }
    /// The process has io_uring's rings: bytes may move where nobody sees it.
    void note_rings() { rings_.store(true, std::memory_order_relaxed); }
    [[nodiscard]] bool has_rings() const { return rings_.load(std::memory_order_relaxed); }
    void forbid_helper() { helper_state_.store(3, std::memory_order_release); }
    void ring_helper();
    [[nodiscard]] int helper_doorbell() const { return helper_doorbell_; }
    /// Hands a connection to the helper: a new candidate, or one that closed with bytes kept.
    void submit(Connection &connection);
    /// The helper's side: index + 1 of the first submitted connection, and of the one after `index`, which may be submitted again
    /// from then on; 0 at the end.
    uint32_t take_submitted() { return submitted_head_.exchange(0, std::memory_order_acquire); }
    uint32_t leave_submitted(uint32_t index) { return submitted_next_[index].exchange(0, std::memory_order_acquire) - 1; }

    [[nodiscard]] const Policy &policy() const { return *policy_.load(std::memory_order_acquire); }
    /// It stays the caller's, for ever.
    void set_policy(const Policy &policy) { policy_.store(&policy, std::memory_order_release); }
    /// nullptr until the helper has loaded it.
    [[nodiscard]] Runtime *runtime() const { return runtime_.load(std::memory_order_acquire); }
    void set_runtime(Runtime *runtime) { runtime_.store(runtime, std::memory_order_release); }
    [[nodiscard]] int pid() const { return pid_; }
    /// It was forked by a process that had connections.
    [[nodiscard]] bool is_child() const { return is_child_; }

    // --- fork ---
    void before_fork();
    void after_fork_in_parent(int child);
    void after_fork_in_child();
    /// For a child that has no part in its parent's connections: they and the parent's epoll instances are unknown to it from now on.
    void disown_descriptors();
    /// This process holds a descriptor of the connection.
    [[nodiscard]] bool holds(uint32_t index) const;
    /// Held over a fork and while a connection is attached: a child must not inherit half of that.
    [[nodiscard]] ProcessLock &fork_lock() { return fork_lock_; }
    /// The kernel is about to close all of this process's descriptors, and nobody will call close().
    void leave_all();
    /// It did not.
    void come_back();

    /// Descriptors of our own go to the top of the range, out of the application's way. Takes `fd` over.
    int hide(int fd);
    /// One that is out of the application's way already.
    void note_hidden(int fd);
    /// One of those, in the range [first, last], or -1; in a process whose helper lives by them.
    [[nodiscard]] int hidden_in(unsigned first, unsigned last) const;
    /// The numbers in the range are about to be the application's, which may get back its own by them.
    void forget_hidden(unsigned first, unsigned last);
    /// The end of what hide() or note_hidden() knows, and of any other descriptor of our own.
    long close_hidden(int fd);

private:
    static constexpr uint32_t kKindMask = 0xc000'0000u, kConnectionKind = 0x8000'0000u, kEpollKind = 0x4000'0000u, kYoungKind = kKindMask;
    static constexpr uint32_t kIndexMask = ~kKindMask;
    static constexpr uint32_t kSpawners = 64;

    struct Shared {
        FamilyLock lock;
        std::atomic<uint32_t> fresh;
        std::atomic<uint32_t> free_head;  ///< Index + 1.
        uint32_t looked_at;               ///< Places ever looked at for having been abandoned.
        std::atomic<uint32_t> forks;      ///< Ever begun in the family.
        /// The process that uses each wake object; 0: none. Peers know it by its number alone, whoever of the family it belongs to.
        std::atomic<uint32_t> wake_owners[memory::kWakeObjects];
        std::atomic<uint32_t> wake_users[memory::kWakeObjects];  ///< That which used it last: whose descriptor peers know.
        /// Who is starting other programs: a process, and how many of its threads. One that is killed leaves its entry behind.
        std::atomic<uint64_t> spawners[kSpawners];
        Tally tally;
        std::atomic<uint32_t> unlisted_spawns;  ///< Of those for whom there was no place; if one was killed, nothing lent comes back.
    };

    [[nodiscard]] uint32_t entry_of(int fd) const {
        if (static_cast<uint32_t>(fd) >= kDescriptorsMax) return 0;
        return table_[fd].load(std::memory_order_acquire);
    }
    void reach(int fd);
    Connection *grow_up(int fd);
    static void give_up_kept(EpollItem &item);
    bool reserve();
    bool reserve_board();
    static memory::Account *reserve_accounts();
    uint16_t take_wake_number();
    bool keep_spare(Connection &connection);
    /// kConnectionsMax: there is none.
    uint32_t take_spare();
    /// Of the places that are free, or that were abandoned; kConnectionsMax: none was found. Under the shared lock.
    uint32_t take_free();
    void give_away(uint32_t head);
    uint32_t abandoned_place();

    static std::atomic<Process *> instance_;

    std::atomic<uint32_t> *table_ = nullptr;
    Young *young_of_fd_ = nullptr;
    std::atomic<int> highest_fd_{0};
    std::atomic<uint64_t> *hidden_ = nullptr;  ///< The inode of each descriptor of our own when it was hidden; 0: none was.
    std::atomic<unsigned> hidden_from_{kDescriptorsMax}, hidden_to_{0};
    int board_fd_ = -1;
    std::atomic<int> daemon_fd_{-1};
    Shared *shared_ = nullptr;
    SharedConnection *shared_connections_ = nullptr;
    Connection *connections_ = nullptr;
    Epoll *epolls_ = nullptr;
    EpollItem *items_ = nullptr;
    Peer *peers_ = nullptr;
    static constexpr uint32_t kAccounts = 64;
    memory::Account *accounts_ = nullptr;
    std::atomic<bool> grown_{false}, orphans_expected_{false}, rings_{false}, has_children_{false}, lent_expected_{false},
        lent_watched_{false}, left_{false};
    std::atomic<uint32_t> peers_high_{0};
    WakeObject wake_objects_[memory::kWakeObjects] = {};
    std::atomic<uint32_t> epolls_fresh_{0}, items_fresh_{0};
    ProcessLock local_lock_;
    ProcessLock fork_lock_;
    uint32_t unborn_ = 0;  ///< How the child of the fork under way is listed.
    EpollItem *free_items_ = nullptr;
    std::atomic<uint32_t> helper_state_{0};
    int helper_doorbell_ = -1;
    std::atomic<uint32_t> submitted_head_{0};
    static constexpr uint32_t kRecycleEvery = 1024;
    std::atomic<uint32_t> freed_head_{0}, freed_count_{0};
    std::atomic<uint32_t> resting_{0},
        young_{0};  ///< Freed places that are not given away yet; number + 1. The lists are under the shared lock.
    uint64_t rested_since_ns_ = 0;
    static constexpr uint32_t kSpareShelves = 16;
    struct alignas(64) Spares {
        std::atomic<uint32_t> places[4];  ///< Index + 1.
    };
    Spares spares_[kSpareShelves] = {};                ///< By processor.
    std::atomic<uint32_t> *submitted_next_ = nullptr;  ///< What follows in the list, + 1; 0: not in the list.
    int pid_ = 0;
    bool is_child_ = false;
    static constexpr Policy kUntilConfigured{};
    std::atomic<const Policy *> policy_{&kUntilConfigured};
    std::atomic<Runtime *> runtime_{nullptr};
};

}  // namespace sansock::socket
