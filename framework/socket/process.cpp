#include "socket/process.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "socket/board.hpp"
#include "socket/helper.hpp"
#include "socket/young.hpp"

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

memory::Account *Process::reserve_accounts() { return reserve_array<memory::Account>(kAccounts, MAP_SHARED); }

bool Process::reserve() {
    table_ = reserve_array<std::atomic<uint32_t>>(kDescriptorsMax, MAP_PRIVATE);
    young_of_fd_ = reserve_array<Young>(kYoungMax, MAP_PRIVATE);
    connections_ = reserve_array<Connection>(kConnectionsMax, MAP_PRIVATE);
    epolls_ = reserve_array<Epoll>(kEpollsMax, MAP_PRIVATE);
    items_ = reserve_array<EpollItem>(kItemsMax, MAP_PRIVATE);
    peers_ = reserve_array<Peer>(kPeersMax, MAP_PRIVATE);
    accounts_ = reserve_accounts();
    memory::Arena::on_growth([] {
        if (Process *process = get(); process != nullptr && !process->grown_.exchange(true, std::memory_order_acq_rel))
            process->ring_helper();
    });
    submitted_next_ = reserve_array<std::atomic<uint32_t>>(kConnectionsMax + 1, MAP_PRIVATE);
    hidden_ = reserve_array<std::atomic<uint64_t>>(kDescriptorsMax, MAP_PRIVATE);
    pid_ = static_cast<int>(raw_syscall(SYS_getpid));
    return hidden_ != nullptr && table_ != nullptr && young_of_fd_ != nullptr && reserve_board() && connections_ != nullptr &&
           epolls_ != nullptr && items_ != nullptr && peers_ != nullptr && accounts_ != nullptr && submitted_next_ != nullptr;
}

namespace {

/// A descriptor or -1. This is the application's thread, to which a file that is larger than it may be would mean SIGXFSZ.
int make_board(uint64_t size) {
    rlimit limit{};
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur < size) return -1;
    UniqueFd fd(static_cast<int>(raw_syscall(SYS_memfd_create, "sansock-board", MFD_CLOEXEC)));
    return fd && raw_syscall(SYS_ftruncate, fd.get(), size) == 0 ? fd.release() : -1;
}

}  // namespace

/// The board's header, and behind it what the family shares. Without a descriptor for it all is the same, but for sansockd.
bool Process::reserve_board() {
    constexpr uint64_t kSharedAt = kBoardHeaderSize, kPage = 4096;
    constexpr uint64_t kEntriesAt = (kSharedAt + sizeof(Shared) + kPage - 1) / kPage * kPage;
    constexpr uint64_t kSize = kEntriesAt + kConnectionsMax * sizeof(SharedConnection);
    const int fd = make_board(kSize);
    const int flags = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *memory = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED) return false;
    board_fd_ = hide(fd);
    auto *base = static_cast<char *>(memory);
    shared_ = reinterpret_cast<Shared *>(base + kSharedAt);
    shared_connections_ = reinterpret_cast<SharedConnection *>(base + kEntriesAt);
    if (fd >= 0) {
        const auto place = [base](const void *what) { return static_cast<uint32_t>(static_cast<const char *>(what) - base); };
        describe_board(*static_cast<BoardHeader *>(memory), {place(&shared_->fresh), kEntriesAt, place(&shared_->tally)});
    }
    return true;
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
    if (helper_state_.load(std::memory_order_acquire) != 2) {  // nothing lives by any but this one
        const auto board = static_cast<unsigned>(board_fd_);
        if (board_fd_ < 0 || board < first || board > last || board >= kDescriptorsMax) return -1;
        const uint64_t inode = hidden_[board].load(std::memory_order_relaxed);
        return inode != 0 && inode_of(board_fd_) == inode ? board_fd_ : -1;
    }
    const unsigned from = std::max(first, hidden_from_.load(std::memory_order_relaxed));
    const unsigned to = std::min(last, hidden_to_.load(std::memory_order_relaxed));
    for (unsigned fd = from; fd <= to; ++fd) {
        const uint64_t inode = hidden_[fd].load(std::memory_order_relaxed);
        if (inode != 0 && inode_of(static_cast<int>(fd)) == inode) return static_cast<int>(fd);
    }
    return -1;
}

void Process::forget_hidden(unsigned first, unsigned last) {
    const unsigned from = std::max(first, hidden_from_.load(std::memory_order_relaxed));
    const unsigned to = std::min(last, hidden_to_.load(std::memory_order_relaxed));
    for (unsigned fd = from; fd <= to; ++fd) {
        if (hidden_[fd].load(std::memory_order_relaxed) != 0) hidden_[fd].store(0, std::memory_order_relaxed);
    }
}

/// First the note: once the number is free, another thread may get it at once. The inode would not tell the two apart, for all eventfds
/// and epoll instances have the same.
long Process::close_hidden(int fd) {
    if (fd >= 0) forget_hidden(static_cast<unsigned>(fd), static_cast<unsigned>(fd));
    return raw_syscall(SYS_close, fd);
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
    if (id == memory::kNoWaker) return id;
    if (shared_->wake_users[id].exchange(static_cast<uint32_t>(pid_)) != static_cast<uint32_t>(pid_)) {
        // Peers know a relative's descriptor by that number, and for which of its tickets they have woken it.
        for (Peer &peer : peers()) peer.told[id].store(0, std::memory_order_relaxed);
        wake_objects_[id].ticket.store(static_cast<uint32_t>(ticks()), std::memory_order_relaxed);
    }
    if (wake_objects_[id].fd.load() >= 0) return id;
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
            Helper::tell_wake_object(peer, id, wake_objects_[id].fd.load());
            all &= peer.told[id].load() != 0;  // else it would ring our parent's helper, who cannot wake us
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

}  // namespace sansock::socket
