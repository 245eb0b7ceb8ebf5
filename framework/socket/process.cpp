#include "socket/process.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "socket/epoll.hpp"
#include "socket/helper.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

/// Address space for `count` objects; a page is only paid for once it is touched. Zeroed.
template <class T>
T *reserve_array(size_t count, int sharing) {
    void *memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<T *>(memory);
}

}  // namespace

std::atomic<Process *> Process::instance_{nullptr};

Process *Process::get_or_create() {
    if (Process *existing = get()) return existing;
    static ProcessLock lock;
    static bool failed = false;
    stream::Guard guard(lock);
    if (Process *existing = get()) return existing;
    if (failed) return nullptr;
    alignas(Process) static unsigned char storage[sizeof(Process)];
    auto *process = new (storage) Process();
    if (!process->reserve()) {
        failed = true;  // no address space: everything stays with the kernel
        return nullptr;
    }
    instance_.store(process, std::memory_order_release);
    return process;
}

bool Process::reserve() {
    table_ = reserve_array<std::atomic<uint32_t>>(kDescriptorsMax, MAP_PRIVATE);
    shared_ = reserve_array<Shared>(1, MAP_SHARED);
    shared_connections_ = reserve_array<SharedConnection>(kConnectionsMax, MAP_SHARED);
    connections_ = reserve_array<Connection>(kConnectionsMax, MAP_PRIVATE);
    epolls_ = reserve_array<Epoll>(kEpollsMax, MAP_PRIVATE);
    items_ = reserve_array<EpollItem>(kItemsMax, MAP_PRIVATE);
    peers_ = reserve_array<Peer>(kPeersMax, MAP_PRIVATE);
    accounts_ = reserve_array<memory::Account>(kAccounts, MAP_SHARED);
    memory::Arena::on_growth([] {
        if (Process *process = get(); process != nullptr && !process->grown_.exchange(true, std::memory_order_acq_rel))
            process->ring_helper();
    });
    submitted_next_ = reserve_array<std::atomic<uint32_t>>(kConnectionsMax + 1, MAP_PRIVATE);
    hidden_ = reserve_array<std::atomic<uint64_t>>(kDescriptorsMax, MAP_PRIVATE);
    pid_ = static_cast<int>(raw_syscall(SYS_getpid));
    return hidden_ != nullptr && table_ != nullptr && shared_ != nullptr && shared_connections_ != nullptr && connections_ != nullptr &&
           epolls_ != nullptr && items_ != nullptr && peers_ != nullptr && accounts_ != nullptr && submitted_next_ != nullptr;
}

void Process::bind(int fd, Connection &connection) {
    int highest = highest_fd_.load(std::memory_order_relaxed);
    while (highest < fd && !highest_fd_.compare_exchange_weak(highest, fd)) {
    }
    connection.refs.fetch_add(1, std::memory_order_relaxed);
    table_[fd].store(kConnectionKind | connection.index, std::memory_order_release);
}

void Process::bind(int fd, Epoll &epoll) {
    int highest = highest_fd_.load(std::memory_order_relaxed);
    while (highest < fd && !highest_fd_.compare_exchange_weak(highest, fd)) {
    }
    epoll.refs.fetch_add(1, std::memory_order_relaxed);
    table_[fd].store(kEpollKind | static_cast<uint32_t>(&epoll - epolls_), std::memory_order_release);
}

/// Places whose holders were all killed, or ended without a close, are found a few at a time, when a new one would have to be begun.
uint32_t Process::abandoned_place() {
    const uint32_t used = shared_->fresh.load(std::memory_order_relaxed);
    for (uint32_t looks = std::min(used, kLooksForAbandoned); looks > 0; --looks) {
        const uint32_t index = shared_->looked_at++ % used;
        const Phase phase = static_cast<Phase>(shared_connections_[index].phase.load(std::memory_order_acquire));
        // One that lingers is its helper's, and so is one that has memory of ours.
        if (phase == Phase::kFree || phase == Phase::kLingering || connections_[index].orphan.load()) continue;
        // One that has moved is for a sibling that may have memory of it to let go of, unless there is hardly any other place left.
        if (shared_connections_[index].stream.attached.load(std::memory_order_acquire) != 0 && used < kConnectionsMax / 2) continue;
        if (shared_connections_[index].holders.claim(static_cast<uint32_t>(pid_))) return index;
    }
    return kConnectionsMax;
}

Connection *Process::new_connection(int fd, Role role) {
    if (static_cast<uint32_t>(fd) >= kDescriptorsMax) return nullptr;
    stream::Guard guard(shared_->lock);
    uint32_t index = take_spare();
    if (index != kConnectionsMax) {
        // Its memory is in this processor's cache.
    } else if (const uint32_t head = shared_->free_head.load(std::memory_order_relaxed); head != 0) {
        index = head - 1;
        shared_->free_head.store(shared_connections_[index].next_free.load(std::memory_order_relaxed), std::memory_order_relaxed);
    } else {
        index = abandoned_place();
        if (index == kConnectionsMax) {
            if (shared_->fresh.load(std::memory_order_relaxed) == kConnectionsMax) return nullptr;
            index = shared_->fresh.fetch_add(1, std::memory_order_relaxed);
        }
    }
    Connection &connection = connections_[index];
    {
        stream::Guard no_helper(connection.fd_lock);
        if (connection.orphan.exchange(false)) forget_orphan(*this, connection);  // a sibling has ended what we had here
        new (static_cast<ConnectionView *>(&connection)) ConnectionView{};
        connection.items.store(nullptr, std::memory_order_relaxed);
        if (connection.shared == nullptr) {  // its first
            connection.shared = &shared_connections_[index];
            connection.index = index;
        }
        begin(connection, role);
    }
    connection.fd.store(fd);  // from now on the helper may look at it
    bind(fd, connection);
    return &connection;
}

void Process::begin(Connection &connection, Role role) {
    SharedConnection &shared = shared_connections_[connection.index];
    const uint32_t generation = shared.generation.load(std::memory_order_relaxed) + 1;
    shared.~SharedConnection();
    new (&shared) SharedConnection{};
    shared.generation.store(generation, std::memory_order_relaxed);
    shared.role = role;
    shared.holders.add(static_cast<uint32_t>(pid_));
    connection.generation = generation;
    connection.set_reason(stream::Reason::kNotYet);
    connection.set_phase(role == Role::kNone ? Phase::kUnconnected : Phase::kTracked);
}

/// The last process has let go. A free entry's generation stays, so that a stale view of it is recognised. Our helper may look at
/// the entry at this very moment: only it gives the place away again, between two of its events.
void Process::free_connection(Connection &connection) {
    const uint32_t helper = helper_state_.load(std::memory_order_acquire);
    const bool helped = helper == 1 || helper == 2;
    if (!helped && keep_spare(connection)) return;
    connection.set_phase(Phase::kFree);
    std::atomic<uint32_t> &next = connection.shared->next_free;
    uint32_t head = freed_head_.load(std::memory_order_relaxed);
    do {
        next.store(head, std::memory_order_relaxed);
    } while (!freed_head_.compare_exchange_weak(head, connection.index + 1, std::memory_order_release));
    if (!helped) return recycle();
    if (freed_count_.fetch_add(1, std::memory_order_relaxed) % kRecycleEvery == kRecycleEvery - 1) ring_helper();
}

/// With many short connections, those that another processor has used last would have to be fetched from its cache, line by line.
bool Process::keep_spare(Connection &connection) {
    connection.set_phase(Phase::kSpare);  // our entry among the holders stays: should we be killed, the place is found abandoned
    for (auto &place : spares_[current_cpu() % kSpareShelves].places) {
        uint32_t none = 0;
        if (place.load(std::memory_order_relaxed) == 0 &&
            place.compare_exchange_strong(none, connection.index + 1, std::memory_order_release))
            return true;
    }
    return false;
}

uint32_t Process::take_spare() {
    for (auto &place : spares_[current_cpu() % kSpareShelves].places) {
        const uint32_t found = place.load(std::memory_order_relaxed) == 0 ? 0 : place.exchange(0, std::memory_order_acquire);
        if (found != 0) return found - 1;
    }
    return kConnectionsMax;
}

void Process::recycle() {
    uint32_t head = freed_head_.exchange(0, std::memory_order_acquire);
    if (head == 0) return;
    stream::Guard guard(shared_->lock);
    while (head != 0) {
        const uint32_t index = head - 1;
        head = shared_connections_[index].next_free.load(std::memory_order_relaxed);
        shared_connections_[index].next_free.store(shared_->free_head.load(std::memory_order_relaxed), std::memory_order_relaxed);
        shared_->free_head.store(index + 1, std::memory_order_relaxed);
    }
}

bool Process::holds(uint32_t index) const {
    const Connection &connection = connections_[index];
    return connection.is_open() && connection.refs.load(std::memory_order_relaxed) != 0 &&
           connection.generation == connection.shared->generation.load(std::memory_order_relaxed);
}

void Process::leave_all() {
    for (uint32_t i = 0; i < connections_used(); ++i) {
        if (holds(i)) shared_connections_[i].holders.let_go(static_cast<uint32_t>(pid_));
    }
}

void Process::come_back() {
    for (uint32_t i = 0; i < connections_used(); ++i) {
        if (holds(i)) shared_connections_[i].holders.add(static_cast<uint32_t>(pid_));
    }
}

void Process::crowd_all() {
    for (uint32_t i = 0; i < connections_used(); ++i) {
        if (holds(i)) shared_connections_[i].holders.crowd();
    }
}

Epoll *Process::new_epoll(int fd) {
    if (static_cast<uint32_t>(fd) >= kDescriptorsMax) return nullptr;
    stream::Guard guard(local_lock_);
    Epoll *epoll = nullptr;
    const uint32_t fresh = epolls_fresh_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < fresh && epoll == nullptr; ++i) {
        if (epolls_[i].used.load(std::memory_order_acquire) == 0) epoll = &epolls_[i];
    }
    if (epoll == nullptr) {
        if (fresh == kEpollsMax) return nullptr;
        epoll = &epolls_[fresh];
        epolls_fresh_.store(fresh + 1, std::memory_order_relaxed);
    }
    new (epoll) Epoll{};
    epoll->fd = fd;
    epoll->used.store(1, std::memory_order_release);
    bind(fd, *epoll);
    return epoll;
}

EpollItem *Process::new_item() {
    stream::Guard guard(local_lock_);
    EpollItem *item = free_items_;
    if (item != nullptr) {
        free_items_ = item->next_ready;
    } else {
        const uint32_t fresh = items_fresh_.load(std::memory_order_relaxed);
        if (fresh == kItemsMax - 1) return nullptr;  // the last name is not an item's
        item = &items_[fresh];
        items_fresh_.store(fresh + 1, std::memory_order_relaxed);
    }
    const uint32_t name = (item->name == 0 ? static_cast<uint32_t>(item - items_) : item->name) + kItemsMax;
    new (item) EpollItem{};
    item->name = name;
    return item;
}

void Process::free_item(EpollItem *item) {
    stream::Guard guard(local_lock_);
    item->live = false;
    item->next_ready = free_items_;
    free_items_ = item;
}

void Process::queue_blocked(Epoll &epoll) {
    const uint32_t fresh = items_fresh_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < fresh; ++i) {
        if (items_[i].blocked && items_[i].live && items_[i].epoll == &epoll && items_[i].inner == nullptr)
            queue_item(epoll, items_[i], items_[i].name);
    }
}

Peer *Process::new_peer() {
    stream::Guard guard(local_lock_);
    const uint32_t high = peers_high_.load(std::memory_order_relaxed);
    uint32_t index = 0;
    while (index < high && peers_[index].used.load(std::memory_order_acquire) != 0) ++index;
    if (index == kPeersMax) return nullptr;
    Peer &peer = peers_[index];
    peer.channel.store(-1);
    peer.connections.store(0, std::memory_order_relaxed);
    peer.has_windows.store(false, std::memory_order_relaxed);
    peer.owes_releases.store(false, std::memory_order_relaxed);
    peer.unused_since_ns.store(0, std::memory_order_relaxed);
    // Constructed even where the memory is fresh: an unused descriptor is -1, and zero bytes would name standard input.
    new (static_cast<PeerView *>(&peer)) PeerView{};
    peer.used.store(1, std::memory_order_release);
    if (index == high) peers_high_.store(high + 1, std::memory_order_release);
    return &peer;
}

namespace {

uint64_t inode_of(int fd) {
    struct stat status;
    return raw_syscall(SYS_fstat, fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

void Process::note_hidden(int fd) {
    if (static_cast<uint32_t>(fd) >= kDescriptorsMax) return;
    hidden_[fd].store(inode_of(fd), std::memory_order_relaxed);
    const auto number = static_cast<unsigned>(fd);
    for (unsigned lowest = hidden_from_.load(); number < lowest && !hidden_from_.compare_exchange_weak(lowest, number);) {
    }
    for (unsigned highest = hidden_to_.load(); number > highest && !hidden_to_.compare_exchange_weak(highest, number);) {
    }
}

int Process::hidden_in(unsigned first, unsigned last) const {
    if (helper_state_.load(std::memory_order_acquire) != 2) return -1;
    const unsigned from = std::max(first, hidden_from_.load(std::memory_order_relaxed));
    const unsigned to = std::min(last, hidden_to_.load(std::memory_order_relaxed));
    for (unsigned fd = from; fd <= to; ++fd) {
        const uint64_t inode = hidden_[fd].load(std::memory_order_relaxed);
        if (inode != 0 && inode_of(static_cast<int>(fd)) == inode) return static_cast<int>(fd);
    }
    return -1;
}

int Process::hide(int fd) {
    rlimit limit{};
    if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0) return fd;
    const auto top = static_cast<long>(std::min<rlim_t>(limit.rlim_cur, kDescriptorsMax));
    for (long reserve = 64; reserve <= 4096; reserve *= 8) {
        if (top <= reserve * 2) break;
        const long moved = raw_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, top - reserve);
        if (moved >= 0) {
            raw_syscall(SYS_close, fd);
            note_hidden(static_cast<int>(moved));
            return static_cast<int>(moved);
        }
    }
    return fd;
}

constexpr rlim_t kDescriptorsAmple = 1024;
constexpr size_t kSpareWakeObjects = 4;

/// One that nobody uses, or else one whose user has died.
uint16_t Process::take_wake_number() {
    const auto me = static_cast<uint32_t>(pid_);
    for (const bool of_the_dead : {false, true}) {
        for (uint16_t id = kHelperWaker + 1; id < memory::kWakeObjects; ++id) {
            std::atomic<uint32_t> &owner = shared_->wake_owners[id];
            uint32_t before = owner.load(std::memory_order_relaxed);
            if (before != 0 && (!of_the_dead || before == me || raw_syscall(SYS_kill, before, 0) != -ESRCH)) continue;
            if (owner.compare_exchange_strong(before, me)) return id;
        }
    }
    return memory::kNoWaker;
}

uint16_t Process::new_wake_object() {
    const uint16_t id = take_wake_number();
    if (id == memory::kNoWaker || wake_objects_[id].fd.load() >= 0) return id;
    const int fd = static_cast<int>(raw_syscall(SYS_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (fd < 0) {
        free_wake_object(id);
        return memory::kNoWaker;
    }
    wake_objects_[id].fd = hide(fd);
    return id;
}

void Process::prepare_wake_objects() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < kDescriptorsAmple) return;
    uint16_t made[kSpareWakeObjects];
    for (uint16_t &id : made) id = new_wake_object();
    for (const uint16_t id : made) free_wake_object(id);
}

/// Its eventfd stays for the next user: peers know it by the number, and would go on waking the former one for a while.
void Process::free_wake_object(uint16_t id) {
    auto me = static_cast<uint32_t>(pid_);
    if (id != memory::kNoWaker)
        shared_->wake_owners[id].compare_exchange_strong(me, 0, std::memory_order_release);  // unless it is our parent's
}

bool Process::tell_peers(uint16_t id) {
    bool all = true;
    for (Peer &peer : peers()) {
        if (peer.used.load(std::memory_order_acquire) == 0) continue;
        if (peer.alive.load(std::memory_order_acquire)) {
            Helper::tell_wake_object(peer, id, wake_objects_[id].fd.load());
        } else if (is_child_ && peer.connections.load() != 0) {
            // A forked child's peers are not alive to it, but they hear what it says as long as they listen to its parent.
            all &= Helper::tell_wake_object(peer, id, wake_objects_[id].fd.load());
        }
    }
    return all;
}

constexpr rlim_t kDescriptorsMin = 32;

bool Process::start_helper() {
    uint32_t stopped = 0;
    if (helper_state_.load(std::memory_order_acquire) == 2) return true;
    if (!helper_state_.compare_exchange_strong(stopped, 1)) {
        while (helper_state_.load(std::memory_order_acquire) == 1) cpu_relax();
        return helper_state_.load(std::memory_order_acquire) == 2;
    }
    // A process that may have hardly any descriptors needs them all itself.
    rlimit limit{};
    const bool scarce = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < kDescriptorsMin;
    const int fd = scarce ? -EMFILE : static_cast<int>(raw_syscall(SYS_eventfd2, 0, EFD_NONBLOCK | EFD_CLOEXEC));
    helper_doorbell_ = hide(fd);
    const bool started = fd >= 0 && Helper::start(*this);
    helper_state_.store(started ? 2 : 3, std::memory_order_release);
    return started;
}

void Process::ring_helper() {
    const uint64_t one = 1;
    if (helper_doorbell_ >= 0) raw_syscall(SYS_write, helper_doorbell_, &one, sizeof one);
}

void Process::submit(Connection &connection) {
    // Closed and used again, it may be in the list from its former use: once is enough, and twice would make the list a circle.
    std::atomic<uint32_t> &next = submitted_next_[connection.index];
    uint32_t absent = 0;
    if (!next.compare_exchange_strong(absent, 1, std::memory_order_acq_rel)) return ring_helper();
    uint32_t head = submitted_head_.load(std::memory_order_relaxed);
    do {
        next.store(head + 1, std::memory_order_relaxed);
    } while (!submitted_head_.compare_exchange_weak(head, connection.index + 1, std::memory_order_release));
    ring_helper();
}

void Process::before_fork() {
    if (fork_lock_.held_by_me()) return;  // a signal handler that forks, in the middle of a fork
    fork_lock_.lock();
    has_children_.store(true, std::memory_order_relaxed);
    unborn_ = Holders::unborn(shared_->forks.fetch_add(1, std::memory_order_relaxed));
    for (uint32_t i = 0; i < connections_used(); ++i) {
        if (holds(i)) shared_connections_[i].holders.add(unborn_);
    }
}

void Process::after_fork_in_parent(int child) {
    for (uint32_t i = 0; i < connections_used(); ++i) {
        Holders &holders = shared_connections_[i].holders;
        if (child > 0) {
            holders.replace(unborn_, static_cast<uint32_t>(child));  // unless the child was faster
        } else {
            holders.remove(unborn_);
        }
    }
    if (fork_lock_.held_by_me()) fork_lock_.unlock();
}

void Process::after_fork_in_child() {
    forget_thread_id();
    critical_depth = 0;  // the fork was made under a lock that is replaced below
    pid_ = static_cast<int>(raw_syscall(SYS_getpid));
    new (&fork_lock_) ProcessLock();
    is_child_ = true;
    has_children_.store(false, std::memory_order_relaxed);
    spawning_.store(0, std::memory_order_relaxed);
    // The arenas that came along charge the parent's account for ever; ours begins empty.
    if (auto *fresh = reserve_array<memory::Account>(kAccounts, MAP_SHARED); fresh != nullptr) accounts_ = fresh;
    grown_.store(false, std::memory_order_relaxed);
    for (uint32_t i = 0; i < connections_used(); ++i) {
        Holders &holders = shared_connections_[i].holders;
        if (holds(i)) {
            holders.replace(unborn_, static_cast<uint32_t>(pid_));
        } else {  // another thread closed it between the counting and the fork
            holders.remove(unborn_);
            holders.remove(static_cast<uint32_t>(pid_));
        }
    }
    // The helper did not come along; its doorbell is the parent's. Channels stay open for sending only.
    if (helper_doorbell_ >= 0) raw_syscall(SYS_close, helper_doorbell_);
    helper_doorbell_ = -1;
    helper_state_.store(0, std::memory_order_release);
    submitted_head_.store(0, std::memory_order_relaxed);
    for (uint32_t i = 0; i < connections_used(); ++i) {
        if (submitted_next_[i].load(std::memory_order_relaxed) != 0) submitted_next_[i].store(0, std::memory_order_relaxed);
    }
    freed_head_.store(0, std::memory_order_relaxed);  // the parent's helper gives those away
    for (Spares &shelf : spares_) {
        for (auto &place : shelf.places) place.store(0, std::memory_order_relaxed);
    }
    // What waits for a next user would be the parent's next user's, too.
    for (uint16_t id = 0; id < memory::kWakeObjects; ++id) {
        const int fd = shared_->wake_owners[id].load(std::memory_order_relaxed) != 0 ? -1 : wake_objects_[id].fd.exchange(-1);
        if (fd < 0) continue;
        raw_syscall(SYS_close, fd);
        for (Peer &peer : peers()) peer.told[id].store(0, std::memory_order_relaxed);
    }
    Helper::forget_after_fork(*this);
    for (uint32_t i = 0; i < connections_used(); ++i) {
        Connection &inherited = connections_[i];
        // Nothing is written that is so already: each page would be copied.
        if (inherited.endpoint != nullptr) inherited.endpoint = nullptr;  // the parent's runtime closes it
        if (inherited.refs.load(std::memory_order_relaxed) == 0) {
            // Lingering, postponed or an orphan: the parent's to bring to its end.
            if (inherited.is_open()) raw_syscall(SYS_close, inherited.fd.exchange(-1));
            if (inherited.mapped.load() || inherited.orphan.load()) {
                inherited.mapped.store(false);
                inherited.orphan.store(false);
                forget_orphan(*this, inherited);
            }
            continue;
        }
        const bool is_ours = holds(i) && inherited.mapped.load() && inherited.phase() == Phase::kAttached;
        if (is_ours && inherited.inherited.load() == Connection::kNothing) inherited.inherited.store(Connection::kMemory);
    }
    for (Epoll &epoll : epolls()) {
        epoll.inherited = true;
        epoll.parked = 0;
        new (&epoll.park_lock) ProcessLock();
    }
}

void Process::disown_descriptors() {
    for (int fd = 0; fd <= highest_fd(); ++fd) {
        if (Connection *c = connection(fd)) {
            c->mapped.store(false, std::memory_order_release);
            c->fd.store(-1);
            c->items.store(nullptr);
        }
        unbind(fd);
    }
}

}  // namespace sansock::socket
