#include "memory/arena.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

namespace sansock::memory {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr uint32_t kBuffersMax = 65535 - 1;  // kInlineBuffer is not an index
constexpr uint32_t kBufferSizeMin = 4096;
constexpr uint32_t kBufferPlaces = 65536;
/// What a stream goes round through: more than a processor's own caches. On a machine with 1 MiB of them one stream moved 8 GB/s through
/// 320 KiB, 20 through 1 MiB and 36 through 2 MiB, with no more under way at a time.
constexpr uint32_t kRotationBytes = 2 << 20;
constexpr uint32_t kGrowEvery = 4;  ///< Takes for each buffer that the round grows by.
constexpr uint32_t kBufferSizeMax = 1 << 20;

/// What the peer gets: a descriptor that only reads, of a file that other users cannot open again to write. F_SEAL_FUTURE_WRITE would
/// do as well, but pages of a file sealed so can never be given back. It is what is left where there is no /proc.
int read_only(int fd) {
    char path[32] = "/proc/self/fd/";
    *std::to_chars(path + 14, path + sizeof path - 1, fd).ptr = '\0';
    raw_syscall(SYS_fchmod, fd, 0400);
    const auto reading = static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0));
    if (reading >= 0) return reading;
    const auto sealed = static_cast<int>(raw_syscall(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    return sealed < 0 ? sealed : static_cast<int>(raw_syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0));
}

}  // namespace

int Arena::create(uint32_t buffer_size, uint64_t max_memory, Account *account) {
    if (account != nullptr && !account->charge(kHeaderSize, max_memory)) return -ENOBUFS;
    const int rc = create_charged(buffer_size, max_memory);
    if (rc < 0 && account != nullptr) account->credit(kHeaderSize);
    if (rc < 0) return rc;
    account_ = account;
    max_memory_ = max_memory;
    return 0;
}

int Arena::create_charged(uint32_t buffer_size, uint64_t max_memory) {
    ArenaShape shape;
    shape.buffer_size = buffer_size;
    shape.buffers = static_cast<uint32_t>(std::min<uint64_t>(max_memory / buffer_size, kBuffersMax));

    UniqueFd fd(static_cast<int>(raw_syscall(SYS_memfd_create, "sansock-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING)));
    if (fd.get() < 0) {
        const int error = fd.release();
        return error;
    }
    if (const long rc = raw_syscall(SYS_ftruncate, fd.get(), shape.size()); rc < 0) return static_cast<int>(rc);
    void *base = mmap(nullptr, shape.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    if (base == MAP_FAILED) return -ENOMEM;
    void *lists = mmap(nullptr, sizeof(Lists), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    // Our own writable mapping is the last one there will ever be.
    long passed = lists == MAP_FAILED ? -ENOMEM : read_only(fd.get());
    if (passed >= 0) {
        fd_.reset(static_cast<int>(passed));
        passed = raw_syscall(SYS_fcntl, fd.get(), F_ADD_SEALS, kSeals);
    }
    if (passed < 0) {
        fd_.reset();
        munmap(base, shape.size());
        if (lists != MAP_FAILED) munmap(lists, sizeof(Lists));
        return static_cast<int>(passed);
    }
    base_ = static_cast<uint8_t *>(base);
    shape_ = shape;
    lists_ = static_cast<Lists *>(lists);
    lists_->buffers_limit.store(shape.buffers, std::memory_order_relaxed);
    maker_ = raw_syscall(SYS_getpid);
    Header &head = header();
    head.version = kLayoutVersion;
    head.slots = shape.slots;
    head.buffer_size = shape.buffer_size;
    head.buffers = shape.buffers;
    head.size = shape.size();
    head.magic = kArenaMagic;
    return 0;
}

void Arena::close() {
    if (base_ == nullptr) return;
    // A forked child's view goes without a word: its parent keeps the arena for as long as any of the family has a connection in it.
    if (maker_ == raw_syscall(SYS_getpid)) {
        credit(kHeaderSize + uint64_t{lists_->slots_taken.load()} * kSlotSize +
               uint64_t{lists_->buffers_resident.load()} * shape_.buffer_size);
    }
    munmap(base_, shape_.size());
    munmap(lists_, sizeof(Lists));
    account_ = nullptr;
    keeps_pages_ = false;
    fd_.reset();
    base_ = nullptr;
    lists_ = nullptr;
}

std::optional<uint32_t> Arena::take_slot() {
    if (!charge(kSlotSize)) return std::nullopt;
    lists_->lock.lock();
    std::optional<uint32_t> index;
    if (lists_->slots_free > 0) {
        index = lists_->free_slots[--lists_->slots_free];
    } else if (lists_->slots_fresh < shape_.slots) {
        index = lists_->slots_fresh++;
    }
    if (index) lists_->slots_taken.fetch_add(1, std::memory_order_relaxed);
    lists_->lock.unlock();
    if (!index) credit(kSlotSize);
    if (index) {
        lists_->slot_ends[*index].store(0, std::memory_order_relaxed);
        Slot &fresh = slot(*index);
        std::memset(static_cast<void *>(&fresh.hot), 0, sizeof fresh.hot);
        std::memset(static_cast<void *>(&fresh.cold), 0, sizeof fresh.cold);
    }
    return index;
}

void Arena::give_slot(uint32_t index) {
    lists_->lock.lock();
    for (uint32_t left = std::exchange(lists_->left_buffers[index], 0); left != 0; left = lists_->next_left[left - 1]) {
        put_back(static_cast<uint16_t>(left - 1));
        lists_->buffers_taken.fetch_sub(1, std::memory_order_relaxed);
    }
    lists_->free_slots[lists_->slots_free] = static_cast<uint16_t>(index);
    std::atomic_signal_fence(std::memory_order_release);  // whoever is killed here leaves a list that is whole
    ++lists_->slots_free;
    lists_->slots_taken.fetch_sub(1, std::memory_order_relaxed);
    lists_->lock.unlock();
    credit(kSlotSize);
}

void Arena::end_slot(uint32_t index, SlotEnd who) {
    const uint8_t before = lists_->slot_ends[index].fetch_or(who, std::memory_order_acq_rel);
    if (before != 0 && (before | who) != before) {
        lists_->slot_ends[index].store(0, std::memory_order_relaxed);
        give_slot(index);
    }
}

/// As many buffers as a stream should go round through.
uint32_t Arena::rotation() const { return std::min(kRotationBytes / shape_.buffer_size, buffers_limit()); }

/// Under the lock. Pages cost time, so the round becomes larger by and by, and not at the cost of others.
bool Arena::should_grow() const {
    return lists_->takes % kGrowEvery == 0 && lists_->buffers_resident.load(std::memory_order_relaxed) < rotation() &&
           (account_ == nullptr || account_->charged() + shape_.buffer_size <= max_memory_ / 2);
}

std::optional<uint16_t> Arena::take_ready() {
    if (lists_->ready_first == lists_->ready_last) return std::nullopt;
    const uint16_t index = lists_->ready_buffers[lists_->ready_first % kBufferPlaces];
    ++lists_->ready_first;
    lists_->ready_idle = std::min(lists_->ready_idle, lists_->ready_last - lists_->ready_first);
    return index;
}

std::optional<uint16_t> Arena::take_bare() {
    if (lists_->bare_free > 0) return lists_->bare_buffers[--lists_->bare_free];
    if (lists_->buffers_fresh < buffers_limit()) return static_cast<uint16_t>(lists_->buffers_fresh++);
    return std::nullopt;
}

std::optional<uint16_t> Arena::take_buffer() {
    lists_->lock.lock();
    ++lists_->takes;
    const bool larger = should_grow();
    std::optional<uint16_t> index = larger ? std::nullopt : take_ready();
    const bool is_bare = !index;
    if (is_bare) index = take_bare();
    if (is_bare && !index) index = take_ready();
    if (index) lists_->buffers_taken.fetch_add(1, std::memory_order_relaxed);
    const bool needed = lists_->ready_first == lists_->ready_last;
    lists_->lock.unlock();
    if (!index || lists_->resident[*index].load(std::memory_order_relaxed)) return index;
    if (make_resident(*index, needed)) return index;
    give_buffer(*index);
    if (needed) return std::nullopt;
    lists_->lock.lock();
    index = take_ready();
    if (index) lists_->buffers_taken.fetch_add(1, std::memory_order_relaxed);
    lists_->lock.unlock();
    return index;
}

/// Pages before use, so that neither we nor a reader can be killed by SIGBUS for want of memory later.
bool Arena::make_resident(uint16_t index, bool needed) {
    if (!charge(shape_.buffer_size)) {
        if (needed && growth_hook_ != nullptr) growth_hook_();  // what others do not need may come back soon
        return false;
    }
    const long rc = raw_syscall(SYS_madvise, buffer(index), shape_.buffer_size, MADV_POPULATE_WRITE);
    if (rc < 0 && rc != -EINVAL) {  // -EINVAL: before Linux 5.14
        credit(shape_.buffer_size);
        return false;
    }
    lists_->resident[index].store(true, std::memory_order_relaxed);
    lists_->buffers_resident.fetch_add(1, std::memory_order_relaxed);
    if (growth_hook_ != nullptr) growth_hook_();
    return true;
}

uint32_t Arena::trim(bool all) {
    if (keeps_pages_ || maker_ != raw_syscall(SYS_getpid)) return 0;
    lists_->lock.lock();
    uint32_t spare = all ? lists_->ready_last - lists_->ready_first : lists_->ready_idle;
    // A stream that is on its way takes every buffer of its round in turn, though it holds few of them at a time.
    if (!all && lists_->takes - lists_->takes_trimmed >= rotation()) spare -= std::min(spare, rotation());
    lists_->lock.unlock();
    for (; spare > 0; --spare) {
        // One at a time, for whoever wants a buffer waits meanwhile.
        lists_->lock.lock();
        const auto index = take_ready();
        if (index && raw_syscall(SYS_madvise, buffer(*index), shape_.buffer_size, MADV_REMOVE) == 0) {
            lists_->resident[*index].store(false, std::memory_order_relaxed);
            lists_->buffers_resident.fetch_sub(1, std::memory_order_relaxed);
            credit(shape_.buffer_size);
        }
        if (index) put_back(*index);
        lists_->lock.unlock();
    }
    lists_->lock.lock();
    lists_->ready_idle = lists_->ready_last - lists_->ready_first;
    lists_->takes_trimmed = lists_->takes;
    lists_->lock.unlock();
    return lists_->buffers_resident.load(std::memory_order_relaxed);
}

/// Under the lock. Whoever is killed here leaves lists that are whole.
void Arena::put_back(uint16_t index) {
    if (lists_->resident[index].load(std::memory_order_relaxed)) {
        lists_->ready_buffers[lists_->ready_last % kBufferPlaces] = index;
        std::atomic_signal_fence(std::memory_order_release);
        ++lists_->ready_last;
    } else {
        lists_->bare_buffers[lists_->bare_free] = index;
        std::atomic_signal_fence(std::memory_order_release);
        ++lists_->bare_free;
    }
}

void Arena::give_buffer(uint16_t index) {
    lists_->lock.lock();
    put_back(index);
    lists_->buffers_taken.fetch_sub(1, std::memory_order_relaxed);
    lists_->lock.unlock();
}

void Arena::give_buffer_with_slot(uint16_t index, uint32_t slot) {
    lists_->lock.lock();
    lists_->next_left[index] = lists_->left_buffers[slot];
    lists_->left_buffers[slot] = uint32_t{index} + 1;
    lists_->lock.unlock();
}

int PeerArena::map(int fd) {
    const long seals = raw_syscall(SYS_fcntl, fd, F_GET_SEALS, 0);
    if (seals < 0 || (seals & kSeals) != kSeals) return -EPROTO;
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return -EPROTO;
    // Huge pages can run out under a reader, which would then get SIGBUS.
    struct statfs filesystem;
    if (fstatfs(fd, &filesystem) != 0 || filesystem.f_type != TMPFS_MAGIC) return -EPROTO;
    const auto size = static_cast<uint64_t>(status.st_size);
    if (size < kHeaderSize) return -EPROTO;
    void *base = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) return -ENOMEM;

    const auto &head = *static_cast<const volatile Header *>(base);
    ArenaShape shape;
    shape.slots = head.slots;
    shape.buffer_size = head.buffer_size;
    shape.buffers = head.buffers;
    const bool sound = head.magic == kArenaMagic && head.version == kLayoutVersion && shape.slots == kSlotsPerArena &&
                       shape.buffers <= kBuffersMax && shape.buffer_size >= kBufferSizeMin && shape.buffer_size <= kBufferSizeMax &&
                       head.size == size && shape.size() == size;
    if (!sound) {
        munmap(base, size);
        return -EPROTO;
    }
    base_ = static_cast<const uint8_t *>(base);
    shape_ = shape;
    return 0;
}

void PeerArena::close() {
    if (base_ == nullptr) return;
    munmap(const_cast<uint8_t *>(base_), shape_.size());
    base_ = nullptr;
}

}  // namespace sansock::memory
