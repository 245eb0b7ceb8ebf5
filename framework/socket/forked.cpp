// What a process does about its own state when it forks: before, in the parent, and in the child.
#include "socket/helper.hpp"
#include "socket/process.hpp"
#include "socket/waiting.hpp"
#include "socket/young.hpp"

namespace sansock::socket {

void Process::before_fork() {
    if (fork_lock_.held_by_me()) return;  // a signal handler that forks, in the middle of a fork
    grow_all_up(*this);
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
    forget_young(*this);
    is_child_ = true;
    left_.store(false, std::memory_order_relaxed);
    has_children_.store(false, std::memory_order_relaxed);
    lent_watched_.store(false, std::memory_order_relaxed);
    // The arenas that came along charge the parent's account for ever; ours begins empty.
    if (memory::Account *fresh = reserve_accounts()) accounts_ = fresh;
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
    if (helper_doorbell_ >= 0) close_hidden(helper_doorbell_);
    helper_doorbell_ = -1;
    if (const int daemon = daemon_fd_.exchange(-1); daemon >= 0) close_hidden(daemon);
    helper_state_.store(0, std::memory_order_release);
    submitted_head_.store(0, std::memory_order_relaxed);
    for (uint32_t i = 0; i < connections_used(); ++i) {
        if (submitted_next_[i].load(std::memory_order_relaxed) != 0) submitted_next_[i].store(0, std::memory_order_relaxed);
    }
    freed_head_.store(0, std::memory_order_relaxed);  // the parent's helper gives those away
    resting_.store(0, std::memory_order_relaxed);
    young_.store(0, std::memory_order_relaxed);
    for (Spares &shelf : spares_) {
        for (auto &place : shelf.places) place.store(0, std::memory_order_relaxed);
    }
    // Threads that looked at something when the fork was made did not come along.
    for (uint32_t i = 0; i < items_fresh_.load(std::memory_order_relaxed); ++i) {
        if (items_[i].looked_at.load(std::memory_order_relaxed) == 0) continue;
        items_[i].looked_at.store(0, std::memory_order_relaxed);
        if (Connection *kept = items_[i].kept.exchange(nullptr)) kept->kept_by.store(0, std::memory_order_relaxed);
    }
    // What waits for a next user would be the parent's next user's, too.
    for (uint16_t id = 0; id < memory::kWakeObjects; ++id) {
        const int fd = shared_->wake_owners[id].load(std::memory_order_relaxed) != 0 ? -1 : wake_objects_[id].fd.exchange(-1);
        if (fd < 0) continue;
        close_hidden(fd);
        for (Peer &peer : peers()) peer.told[id].store(0, std::memory_order_relaxed);
    }
    Helper::forget_after_fork(*this);
    for (uint32_t i = 0; i < connections_used(); ++i) {
        Connection &inherited = connections_[i];
        // Nothing is written that is so already: each page would be copied.
        if (inherited.endpoint != nullptr) inherited.endpoint = nullptr;  // the parent's runtime closes it
        if (inherited.refs.load(std::memory_order_relaxed) == 0) {
            // Lingering, postponed or an orphan: the parent's to bring to its end.
            if (inherited.is_open()) close_hidden(inherited.fd.exchange(-1));
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
        if (Connection *c = tracked(fd)) {
            c->mapped.store(false, std::memory_order_release);
            c->fd.store(-1);
            c->items.store(nullptr);
        }
        unbind(fd);
    }
}

}  // namespace sansock::socket
