// What a reader finds in a peer's slot is a lie, or bytes that lie where the peer's bytes may lie.
#include "stream/window.hpp"

#include "fuzz.hpp"

using namespace sansock;
using Answer = stream::WindowReader::Answer;

namespace {

constexpr uint32_t kBufferSize = 4096, kBuffers = 6;
constexpr uint64_t kWindowMax = kBuffers * kBufferSize + memory::kInlineSize;

struct Arenas {
    Arenas() { MUST(arena.create(kBufferSize, kBuffers * kBufferSize) == 0 && view.map(arena.fd()) == 0); }
    memory::Arena arena;
    memory::PeerArena view;
};

bool is_inside(const stream::Run &run, const uint8_t *begin, size_t size) {
    return run.data >= begin && run.data <= begin + size && run.size <= static_cast<size_t>(begin + size - run.data);
}

uint64_t segment(fuzz::Input &input, uint64_t near) {
    const uint64_t start = input.number(near);
    const uint16_t buffer = input.take<uint16_t>();
    return memory::SegmentWord::pack(start, buffer < 50000 ? buffer % (kBuffers + 1) : buffer);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static Arenas arenas;
    fuzz::Input input(data, size);
    memory::Slot &slot = arenas.arena.slot(0);
    const memory::Slot &seen = arenas.view.slot(0);
    std::memset(static_cast<void *>(&slot.hot), 0, sizeof slot.hot);
    std::memset(static_cast<void *>(slot.closed), 0, sizeof slot.closed);
    stream::InState in{};
    in.in = input.take<uint64_t>() >> input.below(64);
    in.closed_read = static_cast<uint32_t>(input.number(0));
    slot.hot.tail = in.in.load();
    stream::WindowReader reader(in, arenas.view, seen, kWindowMax);
    reader.reset(in.in);
    for (int i = 0; i < 200 && !input.is_empty(); ++i) {
        const uint64_t at = in.in;
        switch (input.below(6)) {
            case 0: slot.hot.tail = input.number(at); break;
            case 1: slot.hot.segment = segment(input, at); break;
            case 2: slot.hot.closed = static_cast<uint32_t>(input.number(in.closed_read)); break;
            case 3: {
                memory::ClosedSegment &entry = slot.closed[(slot.hot.closed - input.below(4)) % memory::kSegmentsPerSlot];
                entry.word = segment(input, at);
                entry.end = input.number(at);
                break;
            }
            case 4: MUST(reader.unread() <= kWindowMax); break;
            case 5: {
                stream::Run run;
                const uint64_t ahead = input.take<uint16_t>();
                const Answer answer = reader.peek(at + ahead, run);
                if (answer != Answer::kBytes) break;
                bool inside = is_inside(run, seen.inline_buffer, memory::kInlineSize);
                for (uint32_t buffer = 0; buffer < kBuffers; ++buffer) inside |= is_inside(run, arenas.view.buffer(buffer), kBufferSize);
                MUST(inside && run.size > 0 && at + ahead + run.size <= in.tail);
                in.in = at + ahead + 1 + input.take<uint16_t>() % run.size;
                break;
            }
        }
    }
    return 0;
}
