// What two processes of one host say to each other in memory: the layout of an arena.
//
// An arena is one memfd. Its owner writes it; the peer maps it read-only, for its descriptor leaves it no other way. So every word here has
// one writer, and everything that a reader takes from the peer's arena is hostile until it has been copied once and checked. Sizes in
// bytes; offsets are stream offsets unless said otherwise.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sansock::memory {

inline constexpr uint64_t kArenaMagic = 0x31616e6572416e73;  // "snArena1"
inline constexpr uint32_t kLayoutVersion = 1;
inline constexpr size_t kPage = 4096;
inline constexpr size_t kHeaderSize = 64 * 1024;
inline constexpr size_t kSlotSize = 2 * kPage;
inline constexpr uint32_t kSlotsPerArena = 1024;
inline constexpr uint32_t kLogEntries = 4096;
inline constexpr uint32_t kWakeObjects = 1024;  ///< Wake objects (epoll instances, threads that poll or listen) of one process.
inline constexpr uint32_t kWakersPerConnection = 4;
inline constexpr uint16_t kNoWaker = 0;
inline constexpr uint16_t kAnyWaker = 0xffff;      ///< More than four: wake whatever is parked.
inline constexpr uint16_t kInlineBuffer = 0xffff;  ///< The buffer id of the inline buffer.
inline constexpr uint32_t kSegmentsPerSlot = 256;  ///< More than the most send buffers a connection may hold.

/// Where the newest bytes lie: the low 48 bits of the stream offset of a buffer's first byte, and the buffer's id.
/// One word, so that a reader never sees half of a change.
struct SegmentWord {
    static constexpr uint64_t kOffsetMask = (uint64_t{1} << 48) - 1;
    static uint64_t pack(uint64_t start, uint16_t buffer) { return (start << 16) | buffer; }
    static uint64_t start48(uint64_t word) { return word >> 16; }
    static uint16_t buffer(uint64_t word) { return static_cast<uint16_t>(word); }
    /// How far `offset` lies behind the segment's start; values above 2^47 mean: before it.
    static uint64_t distance(uint64_t word, uint64_t offset) { return (offset - start48(word)) & kOffsetMask; }
    static bool covers(uint64_t word, uint64_t offset) { return distance(word, offset) < (uint64_t{1} << 47); }
};

/// All that the peer's data path needs of this end, in one cache line.
struct alignas(64) HotLine {
    std::atomic<uint64_t> tail;                          ///< Bytes that the application was told are sent (`out`).
    std::atomic<uint64_t> segment;                       ///< SegmentWord of the open segment; stored before the tail that needs it.
    std::atomic<uint64_t> consumed;                      ///< Bytes that the application has read (`in`).
    std::atomic<uint32_t> attention;                     ///< Counts changes of the cold words.
    std::atomic<uint32_t> parked_in;                     ///< Ticket of threads asleep until the peer's tail moves; 0: none.
    std::atomic<uint32_t> parked_out;                    ///< Ticket of threads asleep until the peer's consumed moves; 0: none.
    std::atomic<uint32_t> closed;                        ///< Count of closed segments ever listed.
    std::atomic<uint16_t> wakers[kWakersPerConnection];  ///< Wake objects that want to know; indexes into Header::parked.
    std::atomic<uint16_t> cpu;                           ///< CPU of the thread that published last.
    std::atomic<uint16_t> want_room;                     ///< Nonzero while somebody waits for room and a wake object must be told.
    std::atomic<uint32_t> in_log;                        ///< Nonzero: publications to this end go into the peer's activity log.
};
static_assert(sizeof(HotLine) == 64);

enum class EndState : uint32_t {
    kOpen = 0,
    kReset = 1,
    kClosed = 2,  ///< By the application; what it kept may still be there for the peer to read.
    kPoisoned = 3,
    kLeft = 4,  ///< Closed, and nobody is left to answer anything: what it sent, the kernel or the peer has.
};

/// The protocol's words (docs/stream-protocol.md). An epoch is stored last, with release order, after what it dates.
struct alignas(64) ColdWords {
    std::atomic<uint64_t> switched_at;  ///< X
    std::atomic<uint64_t> frozen_at;    ///< Z
    std::atomic<uint64_t> fin_at;       ///< Y
    std::atomic<uint32_t> ready;        ///< Epoch
    std::atomic<uint32_t> switched;     ///< Epoch
    std::atomic<uint32_t> frozen;       ///< Epoch
    std::atomic<uint32_t> step;         ///< Epoch
    std::atomic<uint32_t> stepped;      ///< Epoch
    std::atomic<uint32_t> fin;          ///< 1: the stream ends at fin_at.
    std::atomic<uint32_t> state;        ///< EndState
    std::atomic<uint32_t> pinned;       ///< 1: this end stays on TCP once it is there.
    std::atomic<uint32_t> reason;       ///< Why it steps: stream::Reason.
    std::atomic<uint32_t> resting;      ///< 1: another program may hold this end's socket: on TCP until that is over.
};
static_assert(sizeof(ColdWords) == 64);

/// A segment that its writer has finished: bytes [start, end) lie at the front of `buffer`.
struct ClosedSegment {
    std::atomic<uint64_t> word;  ///< SegmentWord
    std::atomic<uint64_t> end;
};

inline constexpr size_t kInlineSize = kPage - sizeof(HotLine) - sizeof(ColdWords);

/// One connection end. The inline buffer follows the hot line at once, so that a small message is the next cache line.
struct alignas(kPage) Slot {
    HotLine hot;
    uint8_t inline_buffer[kInlineSize];
    ColdWords cold;
    ClosedSegment closed[kSegmentsPerSlot];

    /// The writer's: lists segment `number`, the next one, as closed.
    void list(uint32_t number, uint64_t word, uint64_t end) {
        ClosedSegment &entry = closed[number % kSegmentsPerSlot];
        entry.word.store(word, std::memory_order_release);
        entry.end.store(end, std::memory_order_release);
    }
    /// The reader's: what is listed about segment `number`. False when its place serves a later one by now, or is being written anew: a
    /// mixture of two entries must not pass for one. What is lost so was consumed, for a writer keeps fewer than the list has places.
    bool look_up(uint32_t number, uint64_t &word, uint64_t &end) const {
        const ClosedSegment &entry = closed[number % kSegmentsPerSlot];
        word = entry.word.load(std::memory_order_acquire);
        end = entry.end.load(std::memory_order_acquire);
        return hot.closed.load(std::memory_order_relaxed) - number < kSegmentsPerSlot;
    }
};
static_assert(sizeof(Slot) == kSlotSize);
static_assert(offsetof(Slot, closed) == kPage);

/// The head of an arena.
struct alignas(kPage) Header {
    uint64_t magic;
    uint32_t version;
    uint32_t slots;
    uint32_t buffer_size;
    uint32_t buffers;
    uint64_t size;                                           ///< Of the whole arena.
    alignas(64) std::atomic<uint32_t> log_head;              ///< Entries ever written to the activity log.
    std::atomic<uint32_t> cpu;                               ///< CPU of the thread that wrote the last entry.
    alignas(64) std::atomic<uint32_t> parked[kWakeObjects];  ///< Ticket of each wake object that sleeps; 0: awake.
    /// Entry i (mod kLogEntries): the low 16 bits of its number above the slot's index, so that a reader knows it was written.
    alignas(64) std::atomic<uint32_t> log[kLogEntries];
};
static_assert(sizeof(Header) <= kHeaderSize);

struct ArenaShape {
    uint32_t slots = kSlotsPerArena;
    uint32_t buffer_size = 64 * 1024;
    uint32_t buffers = 0;
    [[nodiscard]] size_t slot_offset(uint32_t slot) const { return kHeaderSize + size_t{slot} * kSlotSize; }
    [[nodiscard]] size_t buffer_offset(uint32_t buffer) const {
        return kHeaderSize + size_t{slots} * kSlotSize + size_t{buffer} * buffer_size;
    }
    [[nodiscard]] size_t size() const { return buffer_offset(buffers); }
};

}  // namespace sansock::memory
