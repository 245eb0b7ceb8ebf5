// A peer that is reached by messages and puts what it likes into them: frames, and, being on another host, words. The application is given
// bytes that came in messages or by TCP, a receive is lent once at a time, and the path fails where a frame cannot be.
#include <deque>
#include <set>

#include "path/carrier.hpp"
#include "stream/words.hpp"
#include "victim.hpp"

using namespace sansock;

namespace {

constexpr uint32_t kReceives = 6, kSends = 5;
constexpr uint64_t kMessageBytes = fuzz::kBufferSize + path::kFrameRoom;

/// A provider that is as it should be; what its peer sends is up to the input.
struct Provider final : path::Endpoint {
    int32_t post_send(std::span<const sansock_slice> slices, uint64_t token) noexcept override {
        uint64_t length = 0;
        for (const sansock_slice &slice : slices) length += slice.length;
        MUST(sends.size() < kSends && length <= kMessageBytes && length >= sizeof(path::Frame));
        sends.push_back(token);
        return SANSOCK_OK;
    }
    int32_t post_receive(std::span<const sansock_slice> slices, uint64_t token) noexcept override {
        MUST(token < kReceives && lent.insert(token).second && slices.size() == 1 && slices[0].length == kMessageBytes);
        receives.push_back({token, static_cast<uint8_t *>(slices[0].address)});
        return SANSOCK_OK;
    }
    int32_t poll(std::span<sansock_completion> completions) noexcept override {
        size_t count = 0;
        for (; count < completions.size() && !completed.empty(); ++count, completed.pop_front()) completions[count] = completed.front();
        return static_cast<int32_t>(count);
    }
    int32_t arm(uint32_t) noexcept override { return SANSOCK_OK; }

    void arrive(const path::Frame &frame, uint64_t length) {
        if (receives.empty()) return;
        const auto [token, to] = receives.front();
        receives.pop_front();
        lent.erase(token);
        length = std::min(length, kMessageBytes);
        std::memset(to, fuzz::kOfWindow, length);
        const uint64_t tail = std::min(length, uint64_t{sizeof frame});
        std::memcpy(to + (length - tail), &frame, tail);
        completed.push_back({token, 0, length, SANSOCK_OK, SANSOCK_COMPLETION_RECEIVE});
    }
    void complete_send(int32_t status) {
        if (sends.empty()) return;
        completed.push_back({sends.front(), 0, 0, status, SANSOCK_COMPLETION_SEND});
        sends.pop_front();
        ++done;
    }

    struct Receive {
        uint64_t token;
        uint8_t *to;
    };
    std::deque<Receive> receives;
    std::set<uint64_t> lent;
    std::deque<uint64_t> sends;
    uint32_t done = 0;
    std::deque<sansock_completion> completed{{0, 0, 0, SANSOCK_OK, SANSOCK_COMPLETION_STATE}};
};

/// One that counts as it should, unless the input has it otherwise.
path::Frame next_frame(fuzz::Input &input, const fuzz::Victim &victim, const Provider &provider, uint64_t tail) {
    const stream::State &state = *victim.state;
    path::Frame frame{.kind = path::FrameKind::kData,
                      .epoch = state.epoch.load(),
                      .offset = tail,
                      .consumed = state.out.consumed,
                      .posted = kReceives + provider.done,
                      .received = provider.done,
                      .size = input.take<uint16_t>() % fuzz::kBufferSize + 1u,
                      .window = 4 * fuzz::kBufferSize};
    switch (input.below(24)) {
        case 0: frame.epoch = input.take<uint8_t>(); break;
        case 1: frame.offset = input.number(tail); break;
        case 2: frame.consumed = input.number(state.out.out.load()); break;
        case 3: frame.posted = static_cast<uint32_t>(input.number(frame.posted)); break;
        case 4: frame.received = static_cast<uint32_t>(input.number(frame.received)); break;
        case 5: frame.window = input.take<uint32_t>(); break;
        case 6: input.copy(&frame, sizeof frame); break;
        case 7: frame.size = 0; break;
        case 8:
        case 9: frame.kind = path::FrameKind::kCredit, frame.size = 0; break;
        case 10:
        case 11: frame.kind = path::FrameKind::kUpdate, frame.size = 0; break;
        default: break;
    }
    return frame;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz::Input input(data, size);
    const uint8_t how = input.take<uint8_t>();
    const bool far = (how & 1) != 0;
    memory::Arena mirror, landing;
    MUST(mirror.create(fuzz::kBufferSize, fuzz::kBufferSize) == 0 && landing.create(kMessageBytes, kReceives * kMessageBytes) == 0);
    memory::Slot &words = mirror.slot(0);
    std::memset(words.inline_buffer, fuzz::kOfWindow, sizeof words.inline_buffer);
    std::memset(mirror.buffer(0), fuzz::kOfWindow, fuzz::kBufferSize);
    const memory::PeerArena theirs = memory::PeerArena::of(mirror);
    Provider provider;
    path::Carrier carrier;
    MUST(carrier.open(landing, kReceives) && carrier.lend(provider, nullptr));
    {
        fuzz::Victim victim;
        victim.opens = [&](uint64_t at) { path::Landing::open_at(carrier.landing().slot(), at); };
        victim.end = std::make_unique<stream::End>(*victim.state,
                                                   stream::End::Memory{&victim.arena, victim.slot, &theirs, &theirs.slot(0),
                                                                       &carrier.landing().view(), &carrier.landing().slot(), far},
                                                   victim);
        carrier.start({&victim.arena, victim.slot, &theirs.slot(0), nullptr, victim.state.get(), far},
                      {.epoch = 1, .send_depth = kSends, .message_bytes = kMessageBytes, .peer_receives = kReceives});
        victim.end->declare_ready();
        for (int i = 0; i < 300 && !input.is_empty(); ++i) {
            const uint64_t in = victim.state->in.in.load(), out = victim.state->out.out.load();
            switch (input.below(10)) {
                case 0: {
                    const path::Frame frame = next_frame(input, victim, provider, carrier.landing().tail());
                    provider.arrive(frame, input.below(16) == 0 ? input.take<uint16_t>() : frame.size + sizeof frame);
                    break;
                }
                case 1: provider.complete_send(input.below(16) == 0 ? SANSOCK_EIO : SANSOCK_OK); break;
                case 2: {  // as a correct peer says that it has switched
                    stream::Words said = stream::read_words(words);
                    said.ready = said.switched = victim.state->epoch.load();
                    said.switched_at = in;
                    stream::lay_down(said, words);
                    break;
                }
                case 3:
                    fuzz::write_cold_word(words.cold, input, in, out);
                    if (input.below(2) != 0) words.hot.consumed = input.number(out);
                    if (!far && input.below(2) != 0) {  // what is looked at once the peer is gone
                        words.hot.tail = input.number(in);
                        words.hot.segment = memory::SegmentWord::pack(input.number(in), input.below(4) != 0 ? 0 : input.take<uint16_t>());
                        words.hot.closed = static_cast<uint32_t>(input.number(0));
                    }
                    stream::lay_down(stream::read_words(words), words);
                    break;
                case 4:
                case 5: {
                    const path::Moved moved = input.below(2) != 0 ? carrier.move(true) : carrier.ask();
                    MUST(!moved.failed || carrier.failed());
                    if (moved.failed) victim.end->step(stream::Reason::kProviderFailed, true);
                    break;
                }
                case 6:
                    fuzz::answer_step(words.cold, *victim.state);
                    stream::lay_down(stream::read_words(words), words);
                    break;
                case 7:
                    if (far && input.below(4) == 0) (void)victim.end->peer_falls_silent(input.below(2) != 0);
                    (void)carrier.overdue(victim.now, 1);
                    break;
                default: victim.act(input);
            }
        }
        carrier.stop();
        victim.close((how & 2) != 0);
    }
    carrier.close();
    landing.close();
    mirror.close();
    return 0;
}
