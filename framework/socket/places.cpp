// The places of a process: what stands for a connection, an epoll set, a registration or a peer is found, used and given back here.
#include <algorithm>

#include "socket/epoll.hpp"
#include "socket/helper.hpp"
#include "socket/process.hpp"
#include "socket/waiting.hpp"
#include "socket/young.hpp"

namespace sansock::socket {
namespace {

/// How long the place of a connection that had moved is not used again, for a thread that came just before the close may be in a call on
/// it.
constexpr uint64_t kRestNs = 100'000'000;
constexpr int kPassedMax = 8;  ///< Places that other threads still look at, passed by in the search for one to use.

}  // namespace

void Process::reach(int fd) {
    int highest = highest_fd_.load(std::memory_order_relaxed);
    while (highest < fd && !highest_fd_.compare_exchange_weak(highest, fd)) {
    }
}

void Process::bind_young(int fd) {
    reach(fd);
    table_[fd].store(kYoungKind, std::memory_order_release);
}

void Process::bind(int fd, Connection &connection) {
    reach(fd);
    connection.refs.fetch_add(1, std::memory_order_relaxed);
    table_[fd].store(kConnectionKind | connection.index, std::memory_order_release);
}

void Process::bind(int fd, Epoll &epoll) {
    reach(fd);
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
        if (phase == Phase::kFree || phase == Phase::kLingering || connections_[index].orphan.load() ||
            connections_[index].kept_by.load() != 0)
            continue;
        // One that has moved is for a sibling that may have memory of it to let go of, unless there is hardly any other place left.
        if (shared_connections_[index].stream.attached.load(std::memory_order_acquire) != 0 && used < kConnectionsMax / 2) continue;
        if (shared_connections_[index].holders.claim(static_cast<uint32_t>(pid_))) return index;
    }
    return kConnectionsMax;
}

uint32_t Process::take_free() {
    std::atomic<uint32_t> *at = &shared_->free_head;
    for (int passed = 0; passed < kPassedMax; ++passed) {
        const uint32_t head = at->load(std::memory_order_relaxed);
        if (head == 0) break;
        std::atomic<uint32_t> &next = shared_connections_[head - 1].next_free;
        if (connections_[head - 1].kept_by.load(std::memory_order_seq_cst) == 0) {
            at->store(next.load(std::memory_order_relaxed), std::memory_order_relaxed);
            return head - 1;
        }
        at = &next;
    }
    return kConnectionsMax;
}

Connection *Process::new_connection(int fd, Role role) {
    if (static_cast<uint32_t>(fd) >= kDescriptorsMax) return nullptr;
    stream::Guard guard(shared_->lock);
    uint32_t index = take_spare();
    if (index != kConnectionsMax) {
        // Its memory is in this processor's cache.
    } else if (index = take_free(); index == kConnectionsMax) {
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
    return &connection;
}

void Process::begin(Connection &connection, Role role) {
    SharedConnection &shared = shared_connections_[connection.index];
    const uint32_t generation = shared.generation.load(std::memory_order_relaxed) + 1;
    if (generation != 1) shared_->tally.add(shared);
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
    if (left_.load(std::memory_order_relaxed)) return false;  // nobody would know that it is ours
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
        const uint32_t seen = place.load(std::memory_order_relaxed);
        if (seen == 0 || connections_[seen - 1].kept_by.load(std::memory_order_seq_cst) != 0) continue;
        uint32_t found = seen;
        if (place.compare_exchange_strong(found, 0, std::memory_order_acquire)) return found - 1;
    }
    return kConnectionsMax;
}

/// Under the shared lock: a list of places, each one's number + 1, becomes the family's.
void Process::give_away(uint32_t head) {
    while (head != 0) {
        const uint32_t index = head - 1;
        head = shared_connections_[index].next_free.load(std::memory_order_relaxed);
        shared_connections_[index].next_free.store(shared_->free_head.load(std::memory_order_relaxed), std::memory_order_relaxed);
        shared_->free_head.store(index + 1, std::memory_order_relaxed);
    }
}

void Process::recycle() {
    if (freed_head_.load(std::memory_order_relaxed) == 0 && resting_ == 0 && young_ == 0) return;
    stream::Guard guard(shared_->lock);
    uint32_t head = freed_head_.exchange(0, std::memory_order_acquire);
    while (head != 0) {
        const uint32_t place = head;
        SharedConnection &shared = shared_connections_[place - 1];
        head = shared.next_free.load(std::memory_order_relaxed);
        std::atomic<uint32_t> &list = shared.stream.attached.load(std::memory_order_acquire) != 0 ? young_ : shared_->free_head;
        shared.next_free.store(list.load(std::memory_order_relaxed), std::memory_order_relaxed);
        list.store(place, std::memory_order_relaxed);
    }
    const uint64_t now = now_ns();
    if (now - rested_since_ns_ < kRestNs) return;
    rested_since_ns_ = now;
    give_away(resting_.exchange(young_.exchange(0)));
}

bool Process::holds(uint32_t index) const {
    const Connection &connection = connections_[index];
    return connection.is_open() && connection.refs.load(std::memory_order_relaxed) != 0 &&
           connection.generation == connection.shared->generation.load(std::memory_order_relaxed);
}

void Process::leave_all() {
    left_.store(true, std::memory_order_relaxed);
    for (uint32_t i = 0; i < connections_used(); ++i) {
        if (holds(i)) shared_connections_[i].holders.let_go(static_cast<uint32_t>(pid_));
    }
}

void Process::come_back() {
    left_.store(false, std::memory_order_relaxed);
    for (uint32_t i = 0; i < connections_used(); ++i) {
        if (holds(i)) shared_connections_[i].holders.add(static_cast<uint32_t>(pid_));
    }
}

void Process::crowd_all() {
    grow_all_up(*this);
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
    EpollItem **at = &free_items_;
    for (int passed = 0; *at != nullptr && (*at)->looked_at.load(std::memory_order_seq_cst) != 0; at = &(*at)->next_ready) {
        if (++passed == kPassedMax) break;
    }
    EpollItem *item = *at;
    if (item != nullptr && item->looked_at.load(std::memory_order_seq_cst) == 0) {
        *at = item->next_ready;
    } else {
        const uint32_t fresh = items_fresh_.load(std::memory_order_relaxed);
        if (fresh == kItemsMax - 1) return nullptr;  // the last name is not an item's
        item = &items_[fresh];
        items_fresh_.store(fresh + 1, std::memory_order_relaxed);
    }
    new (static_cast<EpollItemView *>(item)) EpollItemView{};
    if (item->name.load(std::memory_order_relaxed) == 0) item->name.store(static_cast<uint32_t>(item - items_) + kItemsMax);
    return item;
}

void Process::free_item(EpollItem *item) {
    item->live = false;
    item->name.fetch_add(kItemsMax, std::memory_order_seq_cst);  // from here on nobody comes to look at it
    if (item->connection != nullptr && item->looked_at.load(std::memory_order_seq_cst) != 0) {
        item->connection->kept_by.fetch_add(1, std::memory_order_seq_cst);
        item->kept.store(item->connection, std::memory_order_seq_cst);
        if (item->looked_at.load(std::memory_order_seq_cst) == 0) give_up_kept(*item);  // perhaps they did not see that any more
    }
    stream::Guard guard(local_lock_);
    item->next_ready = free_items_;
    free_items_ = item;
}

void Process::give_up_kept(EpollItem &item) {
    const uint32_t generation = item.generation;  // its place is not used again before `kept` is empty
    Connection *connection = item.kept.exchange(nullptr);
    if (connection != nullptr && connection->kept_by.fetch_sub(1, std::memory_order_seq_cst) == 1) looked(*connection, generation);
}

void Process::queue_blocked(Epoll &epoll) {
    const uint32_t fresh = items_fresh_.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < fresh; ++i) {
        const uint32_t name = items_[i].name.load(std::memory_order_acquire);
        if (!items_[i].blocked || !items_[i].live) continue;
        EpollItem *item = look_at(name);
        if (item == nullptr) continue;
        if (item->epoll == &epoll && item->inner == nullptr) queue_item(epoll, *item, name);
        done_looking(*item);
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

}  // namespace sansock::socket
