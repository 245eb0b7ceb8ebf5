// The memory that the peer of a simulated connection shows and writes: a file that is no such memory is refused, a message lies in it
// whole, and what is consumed is never more than was sent.
#include <fcntl.h>

#include <memory>
#include <sansock/sdk/cpp/failure.hpp>

#include "fuzz.hpp"
#include "simulated/ring.hpp"

using namespace sansock;
using simulated::RingResult;

namespace {

constexpr uint64_t kMessageMax = 4096;

void map_file(fuzz::Input &input) {
    const uint64_t bytes_max = input.number(kMessageMax) % (uint64_t{1} << 20);
    const UniqueFd fd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    const auto length = static_cast<off_t>(input.number(simulated::file_bytes(kMessageMax)) % (uint64_t{1} << 22));
    if (ftruncate(fd.get(), length) != 0) return;
    if (length > 0 && input.below(4) != 0) (void)!fallocate(fd.get(), 0, 0, std::max<off_t>(1, length - input.take<uint16_t>() % 3));
    (void)fcntl(fd.get(), F_ADD_SEALS, input.below(2) != 0 ? 0x17 : input.take<uint8_t>() & 0x17);
    try {
        const simulated::PeerMemory memory(fd.get(), bytes_max);
        MUST((fcntl(fd.get(), F_GET_SEALS) & F_SEAL_SHRINK) != 0 && static_cast<uint64_t>(length) == simulated::file_bytes(bytes_max));
        volatile auto last = memory.payload()[simulated::kPayloadMessages * bytes_max - 1];  // no SIGBUS
        (void)last;
    } catch (const sdk::Failure &) {
    }
}

/// Ours as the peer sees it, and the peer's, in which it writes what it likes.
struct Pair {
    simulated::OwnMemory ours{kMessageMax}, theirs{kMessageMax};
    simulated::PeerMemory seen{theirs.fd().get(), kMessageMax};
};

void write_slot(simulated::Slot &slot, fuzz::Input &input, uint64_t next) {
    slot.length = static_cast<uint32_t>(input.number(input.below(2) != 0 ? kMessageMax : simulated::kInlineBytesMax));
    slot.offset = static_cast<uint32_t>(input.number((simulated::kPayloadMessages - 1) * kMessageMax));
    slot.sequence = input.below(4) == 0 ? input.number(next) : next;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Pair pair;
    fuzz::Input input(data, size);
    if (input.below(16) == 0) {
        map_file(input);
        return 0;
    }
    std::memset(static_cast<void *>(pair.theirs.slots()), 0, simulated::kSlotCount * sizeof(simulated::Slot));
    pair.theirs.control().consumed = 0;
    simulated::RingSender sender;
    simulated::RingReceiver receiver;
    sender.open(pair.ours, pair.seen, kMessageMax);
    receiver.open(pair.ours, pair.seen, kMessageMax);
    const std::byte *const begin = reinterpret_cast<const std::byte *>(&pair.seen.control());
    const std::byte *const end = begin + simulated::file_bytes(kMessageMax);
    static uint8_t message_bytes[kMessageMax];
    uint64_t taken = 0, sent = 0;
    for (int i = 0; i < 400 && !input.is_empty(); ++i) {
        switch (input.below(4)) {
            case 0: write_slot(pair.theirs.slots()[(taken + input.below(2)) % simulated::kSlotCount], input, taken + 1); break;
            case 1: pair.theirs.control().consumed = input.number(sent); break;
            case 2: {
                simulated::RingReceiver::Message message, again;
                if (receiver.peek(message) != RingResult::done) break;
                MUST(message.length <= kMessageMax && message.bytes >= begin + simulated::kSlotsOffset);
                MUST(message.bytes + message.length <= end);
                write_slot(pair.theirs.slots()[taken % simulated::kSlotCount], input, taken + 1);
                MUST(receiver.peek(again) == RingResult::done && again.bytes == message.bytes && again.length == message.length);
                receiver.pop();
                MUST(pair.ours.control().consumed == ++taken);
                break;
            }
            case 3: {
                const sansock_slice slice{message_bytes, input.take<uint16_t>() % (kMessageMax + 1), nullptr};
                const RingResult result = sender.push(&slice, 1, slice.length, 0);
                if (result == RingResult::peer_lied)
                    MUST(pair.theirs.control().consumed.load() > sent || pair.theirs.control().consumed.load() < sent);
                if (result == RingResult::done) MUST(++sent - pair.theirs.control().consumed <= simulated::kSlotCount);
                break;
            }
        }
    }
    return 0;
}
