// The memory that two processes share: one arena each way. Its owner allots slots (one per connection) and buffers
// (the shared RDMA buffer subsystem); the peer only reads.
//
// What the allotting needs to know lies in anonymous shared memory beside the arena, never in it: after a fork both
// processes allot from the same lists, and a peer must neither see nor disturb them.
#pragma once
#include <optional>

#include "base/family_lock.hpp"
#include "base/unique_fd.hpp"
#include "memory/account.hpp"
#include "memory/layout.hpp"

namespace sansock::memory {

/// A process family's own arena for one peer process. Lives in memory that the caller keeps for ever; close() ends it.
class Arena {
public:
    /// 0 or a negative errno (-ENOBUFS: the account is full). `max_memory` bounds what slots and buffers may take together, in bytes:
    /// of this arena, and of all that share `account`, which outlives the arena.
    int create(uint32_t buffer_size, uint64_t max_memory, Account *account = nullptr);
    void close();

    [[nodiscard]] bool is_open() const { return base_ != nullptr; }
    [[nodiscard]] int fd() const { return fd_.get(); }
    /// The descriptor is only needed until the peer has it.
    void forget_fd() { fd_.reset(); }
    [[nodiscard]] const ArenaShape &shape() const { return shape_; }
    [[nodiscard]] Header &header() const { return *reinterpret_cast<Header *>(base_); }
    [[nodiscard]] Slot &slot(uint32_t index) const { return *reinterpret_cast<Slot *>(base_ + shape_.slot_offset(index)); }
    [[nodiscard]] uint8_t *buffer(uint32_t index) const { return base_ + shape_.buffer_offset(index); }

    /// A zeroed slot, or nothing when all are taken.
    std::optional<uint32_t> take_slot();
    void give_slot(uint32_t index);
    /// A slot is free again when neither end will look at it any more; each end says so once.
    enum SlotEnd : uint8_t { kOurEnd = 1, kPeerEnd = 2 };
    void end_slot(uint32_t index, SlotEnd who);
    /// The buffer that came back first, or nothing. A stream that goes round through more memory than the processors' own caches hold finds
    /// each buffer in the cache that they share, where writing costs a quarter of what it costs to fetch it back from the reader's own.
    std::optional<uint16_t> take_buffer();
    /// Only buffers with an index below the count are taken; never less than before.
    void limit_buffers(uint32_t count) { lists_->buffers_limit.store(count, std::memory_order_release); }
    /// take_buffer() would find one.
    [[nodiscard]] bool has_buffers() const {
        if (buffers_taken() >= buffers_limit()) return false;
        return account_ == nullptr || lists_->buffers_resident.load(std::memory_order_relaxed) > buffers_taken() ||
               account_->charged() + shape_.buffer_size <= max_memory_;
    }
    void give_buffer(uint16_t index);
    /// Comes back with the slot: until then the peer may still look into it.
    void give_buffer_with_slot(uint16_t index, uint32_t slot);
    [[nodiscard]] uint32_t index_of(const Slot &slot) const {
        return static_cast<uint32_t>((reinterpret_cast<const uint8_t *>(&slot) - base_ - kHeaderSize) / kSlotSize);
    }
    /// Gives the pages of buffers back to the system that nobody has taken since the last call, or of all that are free. Answers how many
    /// buffers still have pages; 0 in a child of fork, whose parent sees to it.
    uint32_t trim(bool all);
    /// A provider has registered the arena's memory: its pages stay.
    void keep_pages() { keeps_pages_ = true; }
    /// Called when a buffer got pages that it did not have; set once, before there are arenas.
    static void on_growth(void (*hook)()) { growth_hook_ = hook; }
    [[nodiscard]] uint32_t buffers_limit() const { return lists_->buffers_limit.load(std::memory_order_acquire); }
    [[nodiscard]] uint32_t slots_taken() const { return lists_->slots_taken.load(std::memory_order_relaxed); }
    [[nodiscard]] uint32_t buffers_taken() const { return lists_->buffers_taken.load(std::memory_order_relaxed); }

private:
    friend class PeerArena;
    struct Lists {
        FamilyLock lock;
        std::atomic<uint32_t> slots_taken;
        std::atomic<uint32_t> buffers_taken;
        std::atomic<uint32_t> buffers_limit;
        uint32_t slots_free;  ///< Length of free_slots; indexes from slots_fresh on were never used.
        uint32_t slots_fresh;
        uint32_t ready_first, ready_last;  ///< Counts: those in between lie, modulo its length, in ready_buffers.
        uint32_t bare_free;                ///< Length of bare_buffers.
        uint32_t buffers_fresh;            ///< Indexes from here on were never used.
        uint32_t ready_idle;               ///< The fewest that were ready at any time since the last trim().
        uint32_t takes, takes_trimmed;     ///< Buffers ever taken; and at the last trim().
        std::atomic<uint32_t> buffers_resident;
        uint16_t free_slots[kSlotsPerArena];
        uint32_t left_buffers[kSlotsPerArena];  ///< Index + 1 of the first buffer that comes back with the slot.
        uint32_t next_left[65536];
        std::atomic<uint8_t> slot_ends[kSlotsPerArena];
        uint16_t ready_buffers[65536];  ///< Free, with pages, in the order in which they came back.
        uint16_t bare_buffers[65536];   ///< Free, without pages.
        std::atomic<bool> resident[65536];
    };

    bool charge(uint64_t bytes) const { return account_ == nullptr || account_->charge(bytes, max_memory_); }
    void credit(uint64_t bytes) const {
        if (account_ != nullptr) account_->credit(bytes);
    }
    [[nodiscard]] uint32_t rotation() const;
    [[nodiscard]] bool should_grow() const;
    std::optional<uint16_t> take_ready();
    std::optional<uint16_t> take_bare();
    void put_back(uint16_t index);
    bool make_resident(uint16_t index, bool needed);
    int create_charged(uint32_t buffer_size, uint64_t max_memory);

    static inline void (*growth_hook_)() = nullptr;

    UniqueFd fd_;
    uint8_t *base_ = nullptr;
    ArenaShape shape_;
    Lists *lists_ = nullptr;
    Account *account_ = nullptr;
    long maker_ = 0;  ///< The process that made it and is charged for it.
    uint64_t max_memory_ = 0;
    bool keeps_pages_ = false;
};

/// The peer's arena, mapped read-only.
class PeerArena {
public:
    /// Checks seals, size and header before it maps anything for use. 0 or a negative errno (-EPROTO: not an arena).
    /// The descriptor stays the caller's.
    int map(int fd);
    void close();
    /// Our own arena, to be read as a peer reads it. A view: never closed.
    static PeerArena of(const Arena &arena) {
        PeerArena view;
        view.base_ = arena.base_;
        view.shape_ = arena.shape_;
        return view;
    }

    [[nodiscard]] bool is_open() const { return base_ != nullptr; }
    [[nodiscard]] const ArenaShape &shape() const { return shape_; }
    [[nodiscard]] const Header &header() const { return *reinterpret_cast<const Header *>(base_); }
    [[nodiscard]] const Slot &slot(uint32_t index) const { return *reinterpret_cast<const Slot *>(base_ + shape_.slot_offset(index)); }
    [[nodiscard]] const uint8_t *buffer(uint32_t index) const { return base_ + shape_.buffer_offset(index); }

private:
    const uint8_t *base_ = nullptr;
    ArenaShape shape_;
};

}  // namespace sansock::memory
