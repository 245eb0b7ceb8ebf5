// A peer says which slots it has left, also of those that it has not, or that it never saw: no slot and no buffer is given away while
// somebody still uses it, and in the end all are free again and nothing is charged for.
#include <set>

#include "fuzz.hpp"
#include "memory/arena.hpp"

using namespace sansock;

namespace {

struct Pool {
    Pool() { MUST(arena.create(4096, uint64_t{1} << 20, &account) == 0); }

    void take_slot() {
        const auto slot = arena.take_slot();
        if (!slot) return;
        MUST(*slot < memory::kSlotsPerArena && !left.contains(*slot) && ours.insert(*slot).second);
        peer_left.erase(*slot);
    }
    /// One that is ours, or any.
    void peer_leaves(uint32_t slot) {
        arena.end_slot(slot, memory::Arena::kPeerEnd);
        left.erase(slot);
        if (ours.contains(slot)) peer_left.insert(slot);
    }
    void leave(uint32_t slot) {
        if (ours.erase(slot) == 0) return;
        if (peer_left.erase(slot) == 0) left.insert(slot);
        arena.end_slot(slot, memory::Arena::kOurEnd);
    }
    void take_buffer() {
        const auto buffer = arena.take_buffer();
        if (buffer) MUST(*buffer < arena.shape().buffers && buffers.insert(*buffer).second);
    }
    void give_buffer(bool with_slot) {
        if (buffers.empty()) return;
        const uint16_t buffer = *buffers.begin();
        if (with_slot && !ours.empty()) {  // as WindowWriter::leave() does: nothing comes between the two
            const uint32_t slot = *ours.begin();
            arena.give_buffer_with_slot(buffer, slot);
            leave(slot);
        } else {
            arena.give_buffer(buffer);
        }
        buffers.erase(buffer);
    }
    void end() {
        while (!buffers.empty()) give_buffer(false);
        while (!ours.empty()) leave(*ours.begin());
        for (uint32_t slot = 0; slot < memory::kSlotsPerArena; ++slot) peer_leaves(slot);
        MUST(arena.slots_taken() == 0 && arena.buffers_taken() == 0 && arena.trim(true) == 0);
        arena.close();
        MUST(account.charged() == 0);
    }

    memory::Account account{};
    memory::Arena arena;
    std::set<uint32_t> ours;       ///< In use here,
    std::set<uint32_t> peer_left;  ///< of those, what the peer has left already,
    std::set<uint32_t> left;       ///< and what waits for it.
    std::set<uint16_t> buffers;
};

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz::Input input(data, size);
    Pool pool;
    for (int i = 0; i < 400 && !input.is_empty(); ++i) {
        switch (input.below(8)) {
            case 0:
            case 1: pool.take_slot(); break;
            case 2: pool.peer_leaves(input.take<uint8_t>() % 16); break;
            case 3: pool.peer_leaves(input.take<uint16_t>() % memory::kSlotsPerArena); break;
            case 4: pool.leave(input.take<uint8_t>() % 16); break;
            case 5: pool.take_buffer(); break;
            case 6: pool.give_buffer(input.below(2) != 0); break;
            case 7: (void)pool.arena.trim(input.below(2) != 0); break;
        }
        MUST(pool.arena.slots_taken() == pool.ours.size() + pool.left.size());
        MUST(pool.arena.buffers_taken() >= pool.buffers.size());
    }
    pool.end();
    return 0;
}
