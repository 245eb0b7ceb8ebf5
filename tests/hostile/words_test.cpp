// A peer that rewrites the words it shares, once the connection has moved.
#include <functional>
#include <random>

#include "outcome.hpp"

namespace sansock::hostile {
namespace {

using memory::SegmentWord;

struct Word {
    const char *name;
    std::function<void(Peer &)> rewrite;
};

void PrintTo(const Word &word, std::ostream *to) { *to << word.name; }

std::string name_of(const testing::TestParamInfo<Word> &info) { return info.param.name; }

class Words : public testing::TestWithParam<Word> {
protected:
    Words() : victim({"accept"}), peer(Peer::connected_to(victim)) {
        EXPECT_TRUE(peer.exchange(2));
        EXPECT_TRUE(peer.connect_channel());
        EXPECT_TRUE(peer.attach());
        EXPECT_TRUE(peer.move());
    }
    Victim victim;
    Peer peer;
};

class Lies : public Words {};

TEST_P(Lies, ResetTheConnection) {
    GetParam().rewrite(peer);
    peer.attention();
    expect_reset(victim, peer, "protocol-error");
}

/// The victim takes note of what we have consumed when it sends.
void rounds(Peer &peer) {
    for (int i = 0; i < 3; ++i) {
        peer.send_provider("round");
        EXPECT_EQ("round", peer.receive_provider(5));
    }
}

/// Publishes one byte more, which `word` claims to hold.
void claim(Peer &peer, uint64_t word) {
    peer.mine().hot.segment.store(word);
    peer.mine().hot.tail.store(peer.out + 1);
}

const Word kLies[] = {
    {"TailFalls", [](Peer &peer) { peer.mine().hot.tail.store(peer.out - 1); }},
    {"TailIsZero", [](Peer &peer) { peer.mine().hot.tail.store(0); }},
    {"TailFarAhead", [](Peer &peer) { peer.mine().hot.tail.store(peer.out + (uint64_t{1} << 40)); }},
    {"TailAheadOfItsSegment", [](Peer &peer) { peer.mine().hot.tail.store(peer.out + memory::kInlineSize); }},
    {"TailWrapsAround", [](Peer &peer) { peer.mine().hot.tail.store(~uint64_t{0}); }},
    {"SegmentStartsLater", [](Peer &peer) { claim(peer, SegmentWord::pack(peer.out + 1, memory::kInlineBuffer)); }},
    {"SegmentStartsLongAgo", [](Peer &peer) { claim(peer, SegmentWord::pack(peer.out - 1'000'000, memory::kInlineBuffer)); }},
    {"SegmentInUnknownBuffer", [](Peer &peer) { claim(peer, SegmentWord::pack(peer.out, 0xfffe)); }},
    {"SegmentPastItsBuffer", [](Peer &peer) { claim(peer, SegmentWord::pack(peer.out - (1 << 20), 0)); }},
    {"ClosedSegmentOfGarbage",
     [](Peer &peer) {
         for (auto &closed : peer.mine().closed) {
             closed.word.store(SegmentWord::pack(peer.out - (1 << 20), 0xfff0));
             closed.end.store(~uint64_t{0});
         }
         peer.mine().hot.closed.store(0x8000'0000);
         claim(peer, SegmentWord::pack(peer.out + 1, memory::kInlineBuffer));
     }},
    {"ConsumedAhead",
     [](Peer &peer) {
         peer.mine().hot.consumed.store(peer.in + 1'000'000);
         peer.send_provider("x");
     }},
    {"ConsumedFalls",
     [](Peer &peer) {
         rounds(peer);
         peer.mine().hot.consumed.store(0);
         peer.send_provider("x");
     }},
    {"StepInALaterEpoch", [](Peer &peer) { peer.mine().cold.step.store(9); }},
    {"StepInTheLastEpoch", [](Peer &peer) { peer.mine().cold.step.store(~0u); }},
    {"FrozenAhead",
     [](Peer &peer) {
         peer.mine().cold.frozen_at.store(peer.in + 1'000'000);
         peer.mine().cold.frozen.store(1);
         peer.mine().cold.step.store(1);
     }},
    {"FrozenBehindWhatItConsumed",
     [](Peer &peer) {
         rounds(peer);
         peer.mine().cold.frozen_at.store(0);
         peer.mine().cold.frozen.store(1);
         peer.mine().cold.step.store(1);
     }},
};

INSTANTIATE_TEST_SUITE_P(Words, Lies, testing::ValuesIn(kLies), name_of);

class Nonsense : public Words {};

/// Words that mean nothing to an honest end leave the stream alone.
TEST_P(Nonsense, DoesNotMatter) {
    GetParam().rewrite(peer);
    peer.attention();
    const std::string bytes = "still here";
    peer.send_provider(bytes);
    EXPECT_EQ(bytes, peer.receive_provider(bytes.size()));
    peer.finish();
    EXPECT_EQ("end", victim.ending());
    EXPECT_EQ("simulated", victim.record()["path"]);
}

const Word kNonsense[] = {
    {"ReadyInAnotherEpoch", [](Peer &peer) { peer.mine().cold.ready.store(7); }},
    {"SwitchedInAnotherEpoch", [](Peer &peer) { peer.mine().cold.switched.store(5); }},
    {"SteppedWithoutStep", [](Peer &peer) { peer.mine().cold.stepped.store(1); }},
    {"FrozenInAnotherEpoch", [](Peer &peer) { peer.mine().cold.frozen.store(9); }},
    {"SwitchedAtMoves", [](Peer &peer) { peer.mine().cold.switched_at.store(0); }},
    {"UnknownState", [](Peer &peer) { peer.mine().cold.state.store(77); }},
    {"Pinned", [](Peer &peer) { peer.mine().cold.pinned.store(1); }},
    {"EndWithoutFin", [](Peer &peer) { peer.mine().cold.fin_at.store(0); }},
    {"UnknownWakeObjects",
     [](Peer &peer) {
         for (auto &waker : peer.mine().hot.wakers) waker.store(0x7fff);
     }},
    {"UntoldWakeObject",
     [](Peer &peer) {
         peer.mine().hot.wakers[0].store(9);
         peer.arena().header().parked[9].store(1);
     }},
    {"ParkedForEver",
     [](Peer &peer) {
         peer.mine().hot.parked_in.store(~0u);
         peer.mine().hot.parked_out.store(~0u);
         peer.mine().hot.want_room.store(0xffff);
     }},
    {"LogOfGarbage",
     [](Peer &peer) {
         memory::Header &head = peer.arena().header();
         for (auto &entry : head.log) entry.store(0xffff'ffff);
         head.log_head.store(12'345);
     }},
    {"HeaderAfterwards",
     [](Peer &peer) {
         memory::Header &head = peer.arena().header();
         head.buffers = head.slots = head.buffer_size = ~0u;
         head.size = 0;
     }},
};

INSTANTIATE_TEST_SUITE_P(Words, Nonsense, testing::ValuesIn(kNonsense), name_of);

/// Every word changes at random while the victim runs. It may end the connection as it sees fit, within bounds.
TEST(Words, ChangeAllTheTime) {
    const unsigned seed = std::random_device{}();
    std::mt19937_64 random(seed);
    for (int round = 0; round < 20; ++round) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        Victim victim({"accept"});
        Peer peer = Peer::connected_to(victim);
        ASSERT_TRUE(peer.exchange(2) && peer.connect_channel() && peer.attach() && peer.move());
        auto *const hot = reinterpret_cast<std::atomic<uint64_t> *>(&peer.mine().hot);
        auto *const cold = reinterpret_cast<std::atomic<uint64_t> *>(&peer.mine().cold);
        for (int change = 0; change < 200; ++change) {
            // Small numbers and those near the truth get past more checks than any others.
            const uint64_t values[] = {random(), random() % 16, peer.out + random() % 128 - 64, (random() % 4) << 32 | random() % 4};
            (random() % 2 != 0 ? hot : cold)[random() % 8].store(values[random() % 4]);
            if (change % 8 == 0) peer.attention();
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
        }
        peer.close_tcp();
        const std::string ending = victim.ending();
        EXPECT_TRUE(ending == "end" || ending.starts_with("error ")) << ending;
    }
}

}  // namespace
}  // namespace sansock::hostile
