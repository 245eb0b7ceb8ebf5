// A peer that rewrites the words it shares, once the connection has moved.
#include <atomic>
#include <functional>
#include <random>
#include <thread>

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
    peer.mine().hot.tail.store(std::atomic_ref(peer.out).load(std::memory_order_relaxed) + 1);
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

/// Words that change at random while both directions carry messages.
using Random = std::mt19937_64;

/// Small numbers, and those near the truth, get past more checks than any others.
uint64_t near_the_truth(Random &random, Peer &peer) {
    const uint64_t truth = std::atomic_ref(peer.out).load(std::memory_order_relaxed);
    const uint64_t values[] = {random(), random() % 16, truth + random() % 128 - 64, (random() % 4) << 32 | random() % 4};
    return values[random() % 4];
}

void change_hot(Peer &peer, Random &random) {
    reinterpret_cast<std::atomic<uint64_t> *>(&peer.mine().hot)[random() % 8].store(near_the_truth(random, peer));
}

void change_cold(Peer &peer, Random &random) {
    reinterpret_cast<std::atomic<uint64_t> *>(&peer.mine().cold)[random() % 8].store(near_the_truth(random, peer));
}

/// What only hints: who sleeps, who wants to know, and where.
void change_hints(Peer &peer, Random &random) {
    memory::HotLine &hot = peer.mine().hot;
    const auto value = static_cast<uint32_t>(near_the_truth(random, peer));
    switch (random() % 6) {
        case 0: hot.parked_in.store(value); break;
        case 1: hot.parked_out.store(value); break;
        case 2: hot.wakers[random() % memory::kWakersPerConnection].store(static_cast<uint16_t>(value)); break;
        case 3: hot.cpu.store(static_cast<uint16_t>(value)); break;
        case 4: hot.want_room.store(static_cast<uint16_t>(value)); break;
        default: hot.in_log.store(value); break;
    }
}

void change_parked(Peer &peer, Random &random) {
    peer.arena().header().parked[random() % (random() % 2 != 0 ? 8 : memory::kWakeObjects)].store(static_cast<uint32_t>(random()));
}

/// Entries of all kinds: of no slot, of another one, with the number that is due and with any.
void change_log(Peer &peer, Random &random) {
    memory::Header &head = peer.arena().header();
    const uint32_t number = head.log_head.load();
    head.log[(number + random() % 4) % memory::kLogEntries].store(static_cast<uint32_t>((number + random() % 2) << 16 | random() % 4));
    head.log[random() % memory::kLogEntries].store(static_cast<uint32_t>(random()));
    if (random() % 4 == 0) head.log_head.store(number + static_cast<uint32_t>(random() % 8 == 0 ? random() : random() % 3));
}

void change_closed(Peer &peer, Random &random) {
    memory::ClosedSegment &closed = peer.mine().closed[random() % memory::kSegmentsPerSlot];
    closed.word.store(memory::SegmentWord::pack(near_the_truth(random, peer), static_cast<uint16_t>(random())));
    closed.end.store(near_the_truth(random, peer));
}

/// The same, where the reader has to look there: nothing that it seeks lies in the open segment.
void change_closed_and_count(Peer &peer, Random &random) {
    change_closed(peer, random);
    peer.mine().hot.closed.store(static_cast<uint32_t>(random() % 4 == 0 ? random() : random() % memory::kSegmentsPerSlot));
    if (random() % 8 == 0) claim(peer, SegmentWord::pack(std::atomic_ref(peer.out).load() + random() % 4, memory::kInlineBuffer));
}

void change_all(Peer &peer, Random &random) {
    constexpr void (*kAll[])(Peer &, Random &) = {change_hot, change_cold,   change_hints,           change_parked,
                                                  change_log, change_closed, change_closed_and_count};
    kAll[random() % std::size(kAll)](peer, random);
}

struct Scribble {
    const char *name;
    void (*change)(Peer &, Random &);
    bool matters;  ///< To the stream: the victim may reset it, or hear of bytes that nobody sent. Else all goes on as if nothing were.
    std::vector<std::string> arguments = {"accept"};
};

void PrintTo(const Scribble &scribble, std::ostream *to) { *to << scribble.name; }

class Scribbles : public testing::TestWithParam<Scribble> {
protected:
    /// Sends, and wants an echo of exactly that, as long as the words are true.
    static void talk(Peer &peer, Random &random, bool matters, std::atomic<bool> &stop) {
        for (int round = 0; round < 400 && !stop; ++round) {
            std::string bytes(1 + random() % 900, '\0');
            for (char &byte : bytes) byte = static_cast<char>(random());
            peer.send_provider(bytes);
            if (matters) {  // an echo may come or not
                std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
                peer.mine().hot.consumed.store(peer.theirs().hot.tail.load());
                continue;
            }
            ASSERT_EQ(bytes, peer.receive_provider(bytes.size())) << "round " << round;
        }
    }
};

TEST_P(Scribbles, WhileBothDirectionsCarry) {
    const Scribble &scribble = GetParam();
    const unsigned seed = std::random_device{}();
    for (int round = 0; round < (scribble.matters ? 15 : 4); ++round) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
        Random random(seed + static_cast<unsigned>(round)), random_of_talk(seed - static_cast<unsigned>(round));
        Victim victim(scribble.arguments);
        Peer peer = Peer::connected_to(victim);
        ASSERT_TRUE(peer.exchange(2) && peer.connect_channel() && peer.attach() && peer.move());
        std::atomic<bool> stop{false};
        std::thread scribbler([&] {
            for (int change = 0; !stop; ++change) {
                scribble.change(peer, random);
                if (change % 8 == 0) peer.attention();
                std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
            }
        });
        talk(peer, random_of_talk, scribble.matters, stop);
        stop = true;
        scribbler.join();
        EXPECT_TRUE(victim.alive() || scribble.matters) << victim.log();
        // However confused it is: once the connection is gone, its program goes on within the time that ending() has.
        peer.close_tcp();
        const std::string ending = victim.ending();
        EXPECT_TRUE(ending == "end" || ending.starts_with("error ")) << ending;
        if (HasFailure()) return;
    }
}

const Scribble kScribbles[] = {
    {"Parked", change_parked, false},
    {"ParkedOfAProgramThatPolls", change_parked, false, {"accept", "polls"}},
    {"Log", change_log, false},
    {"LogOfAProgramThatPolls", change_log, false, {"accept", "polls"}},
    {"Hints", change_hints, false},
    {"HintsOfAProgramThatPolls", change_hints, false, {"accept", "polls"}},
    {"ClosedSegments", change_closed, false},
    {"ClosedSegmentsAndTheirCount", change_closed_and_count, true},
    {"HotWords", change_hot, true},
    {"ColdWords", change_cold, true},
    {"AllWords", change_all, true},
    {"AllWordsOfAProgramThatPolls", change_all, true, {"accept", "polls"}},
};

INSTANTIATE_TEST_SUITE_P(Words, Scribbles, testing::ValuesIn(kScribbles), [](const auto &info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sansock::hostile
