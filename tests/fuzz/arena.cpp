// A file that somebody shows as the arena of his: it is none, or all that its shape says lies in it and stays.
#include "memory/arena.hpp"

#include <fcntl.h>

#include "fuzz.hpp"

using namespace sansock;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz::Input input(data, size);
    memory::ArenaShape shape;
    shape.buffer_size = static_cast<uint32_t>(input.number(4096));
    shape.buffers = static_cast<uint32_t>(input.number(3));
    shape.slots = static_cast<uint32_t>(input.number(memory::kSlotsPerArena));
    const uint64_t length = input.number(shape.size());
    const UniqueFd fd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (ftruncate(fd.get(), static_cast<off_t>(length % (uint64_t{1} << 32))) != 0) return 0;
    struct {
        uint64_t magic;
        uint32_t version, slots, buffer_size, buffers;
        uint64_t size;
    } head{memory::kArenaMagic, memory::kLayoutVersion, shape.slots, shape.buffer_size, shape.buffers, input.number(length)};
    if (input.below(8) == 0) input.copy(&head, sizeof head);
    const unsigned seals = input.below(4) == 0 ? input.take<uint8_t>() & 0x0f : F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    if (length % (uint64_t{1} << 32) >= sizeof head) MUST(pwrite(fd.get(), &head, sizeof head, 0) == sizeof head);
    (void)fcntl(fd.get(), F_ADD_SEALS, seals);

    memory::PeerArena arena;
    if (const int rc = arena.map(fd.get()); rc != 0) {
        MUST(rc < 0 && !arena.is_open());
        return 0;
    }
    MUST((fcntl(fd.get(), F_GET_SEALS) & F_SEAL_SHRINK) != 0);
    const auto bytes = static_cast<uint64_t>(lseek(fd.get(), 0, SEEK_END));
    const memory::ArenaShape &taken = arena.shape();
    MUST(taken.size() == bytes && taken.slots == memory::kSlotsPerArena && taken.buffers < memory::kInlineBuffer);
    const auto *const base = reinterpret_cast<const uint8_t *>(&arena.header());
    MUST(reinterpret_cast<const uint8_t *>(&arena.slot(taken.slots - 1) + 1) <= base + bytes);
    if (taken.buffers > 0) MUST(arena.buffer(taken.buffers - 1) + taken.buffer_size <= base + bytes);
    volatile uint8_t last = base[bytes - 1];  // no SIGBUS
    (void)last;
    arena.close();
    return 0;
}
