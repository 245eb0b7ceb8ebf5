// An end whose peer of the same host writes what it likes into its slot: the application is given bytes of the peer's window and of TCP, in
// numbers that can be, and every call comes back.
#include "victim.hpp"

using namespace sansock;

namespace {

/// The peer's arena, in which nothing but one slot ever changes.
struct Liar {
    Liar() {
        MUST(arena.create(fuzz::kBufferSize, fuzz::kBuffers * fuzz::kBufferSize) == 0 && view.map(arena.fd()) == 0);
        for (uint32_t i = 0; i < fuzz::kBuffers; ++i) std::memset(arena.buffer(i), fuzz::kOfWindow, fuzz::kBufferSize);
    }
    memory::Slot &fresh_slot() {
        memory::Slot &slot = arena.slot(0);
        std::memset(static_cast<void *>(&slot), 0, sizeof slot);
        std::memset(slot.inline_buffer, fuzz::kOfWindow, sizeof slot.inline_buffer);
        slot.hot.segment = memory::kInlineBuffer;
        return slot;
    }
    memory::Arena arena;
    memory::PeerArena view;
};

uint64_t segment(fuzz::Input &input, uint64_t near) {
    const uint64_t start = input.number(near);
    const uint16_t buffer = input.take<uint16_t>();
    return memory::SegmentWord::pack(start, buffer < 50000   ? buffer % (fuzz::kBuffers + 1)
                                            : buffer < 60000 ? memory::kInlineBuffer
                                                             : buffer);
}

void lie(memory::Slot &slot, fuzz::Input &input, const stream::State &state) {
    const uint64_t in = state.in.in.load(), out = state.out.out.load();
    switch (input.below(10)) {
        case 0: slot.hot.tail = input.number(slot.hot.tail.load()); break;
        case 1: slot.hot.segment = segment(input, slot.hot.tail.load()); break;
        case 2: slot.hot.consumed = input.number(out); break;
        case 3: slot.hot.closed = static_cast<uint32_t>(input.number(slot.hot.closed.load())); break;
        case 4: {
            memory::ClosedSegment &entry = slot.closed[input.take<uint8_t>()];
            entry.word = segment(input, in);
            entry.end = input.number(in + 100);
            break;
        }
        case 5: slot.hot.attention = input.take<uint8_t>(); break;
        case 6:  // as a correct peer does it
            slot.cold.switched_at = in;
            slot.cold.ready = slot.cold.switched = state.epoch.load();
            slot.hot.segment = memory::SegmentWord::pack(in, static_cast<uint16_t>(input.below(fuzz::kBuffers)));
            slot.hot.tail = in + input.take<uint16_t>() % fuzz::kBufferSize;
            break;
        case 7: fuzz::write_cold_word(slot.cold, input, in, out); break;
        case 8: fuzz::answer_step(slot.cold, state); break;
        case 9: slot.hot.consumed = state.out.consumed + input.take<uint16_t>() % (out - state.out.consumed + 1); break;
    }
    slot.hot.attention.fetch_add(1);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Liar liar;
    fuzz::Input input(data, size);
    memory::Slot &slot = liar.fresh_slot();
    fuzz::Victim victim;
    victim.end = std::make_unique<stream::End>(*victim.state,
                                               stream::End::Memory{&victim.arena, victim.slot, &liar.view, &liar.view.slot(0)}, victim);
    const uint8_t how = input.take<uint8_t>();
    victim.state->required = (how & 1) != 0;
    if ((how & 2) != 0) victim.end->declare_ready();
    for (int i = 0; i < 400 && !input.is_empty(); ++i) {
        if (input.below(2) != 0) {
            lie(slot, input, *victim.state);
        } else {
            victim.act(input);
        }
    }
    victim.close((how & 4) != 0);
    return 0;
}
