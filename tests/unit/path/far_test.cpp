// A peer on another host: its words come late, before or behind what TCP and the provider bring.
#include <poll.h>

#include <algorithm>

#include "host.hpp"

namespace sansock::path {
namespace {

class Far : public ::testing::Test {
protected:
    /// Both directions carry something, and nothing is under way.
    void warm_up() {
        for (int i = 0; i < 4; ++i) {
            sut.a.send(1000);
            sut.b.send(1000);
            sut.pump();
            sut.a.receive(5000);
            sut.b.receive(5000);
            sut.pump();
        }
        ASSERT_TRUE(sut.a.end->on_provider(true) && sut.a.end->on_provider(false));
    }
    long receive(Host &host) {
        uint8_t bytes[100];
        const iovec part{bytes, sizeof bytes};
        return host.end->receive(&part, 1, 0);
    }
    void expect_nothing_held() {
        EXPECT_FALSE(sut.a.poisoned);
        EXPECT_FALSE(sut.b.poisoned);
    }

    Pair sut{Host::Sizes{.far = true}};
};

TEST_F(Far, StepsAtAnyMomentLoseNothing) {
    for (unsigned seed = 0; seed < 400; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        Pair pair({.far = true});
        const unsigned first = random() % 400, second = random() % 500;
        for (unsigned i = 0; i < 700 && !HasFatalFailure(); ++i) {
            if (i == first) pair.a.end->step(stream::Reason::kDrained, true);
            if (i == second && seed % 2 != 0) pair.b.end->step(stream::Reason::kDrained, true);
            pair.step(random, 2 * kBufferSize);
        }
        pair.finish();
        pair.a.send(1000);
        pair.b.send(1000);
        pair.finish();
        EXPECT_TRUE(pair.a.end->at_rest_on_tcp() && pair.b.end->at_rest_on_tcp());
        ASSERT_FALSE(HasFailure());
    }
}

TEST_F(Far, WhatIsRepeatedBeforeTheWordThatItIsIsNotForeign) {
    warm_up();
    sut.a.send(1000);
    sut.b.end->step(stream::Reason::kDrained, true);
    while (sut.a.deliver_words()) {
    }
    sut.a.pump();  // it freezes, repeats, and says so
    ASSERT_FALSE(sut.b.words.empty());
    sut.b.deliver_tcp(SIZE_MAX);
    sut.b.receive(100);
    EXPECT_EQ(sut.b.received, 4100u) << "from TCP, and only from there";
    sut.finish();
    expect_nothing_held();
}

TEST_F(Far, AnEndOfTcpAheadOfItsWordsIsNoDeath) {
    warm_up();
    sut.a.send(100);
    EXPECT_TRUE(sut.a.end->finish_writing());
    sut.a.end->step(stream::Reason::kDrained, true);
    while (sut.b.deliver_words()) {
    }
    sut.b.pump();
    while (sut.a.deliver_words()) {
    }
    sut.a.pump();  // has repeated, and sent the kernel's FIN
    sut.b.words.clear();
    sut.b.deliver_tcp(SIZE_MAX);
    ASSERT_TRUE(sut.b.fin);
    sut.b.receive(100);
    EXPECT_EQ(receive(sut.b), 0) << "the end was named before";
    expect_nothing_held();
}

TEST_F(Far, AnEndOfTcpThatNothingExplainsWaitsForWhatWasSaid) {
    warm_up();
    sut.b.end->step(stream::Reason::kDrained, true);
    while (sut.a.deliver_words()) {
    }
    sut.a.pump();
    sut.a.end->finish_writing();
    const auto said = std::exchange(sut.b.words, {});
    sut.b.fin_sent = true;
    sut.b.deliver_tcp(0);
    EXPECT_EQ(receive(sut.b), -EAGAIN);
    EXPECT_TRUE(sut.b.asked);
    sut.b.words = said;
    sut.b.see_end();
    EXPECT_EQ(receive(sut.b), 0);
}

TEST_F(Far, AnEndThatHadSwitchedWaitsForWhatWasSaidThoughItWasNotReady) {
    sut.a.slot->cold.ready = 0;
    sut.a.send(1000);
    sut.a.end->step(stream::Reason::kDrained, true);
    while (sut.b.deliver_words()) {
    }
    sut.b.pump();
    while (!sut.a.words.empty() && sut.a.words.front().stepped == 0) sut.a.deliver_words();
    sut.a.pump();
    sut.b.end->finish_writing();  // it has stepped: by the kernel's FIN
    sut.a.deliver_tcp(0);
    EXPECT_EQ(receive(sut.a), -EAGAIN);
    EXPECT_TRUE(sut.a.asked);
    sut.a.see_end();
    EXPECT_EQ(receive(sut.a), 0);
}

TEST_F(Far, ADeathWithBytesKeptIsAReset) {
    warm_up();
    sut.a.send(10);
    EXPECT_TRUE(sut.a.guarded) << "the kernel resets for a process that is no more";
    sut.pump();
    EXPECT_FALSE(sut.a.end->rest_guard());
    EXPECT_TRUE(sut.a.guarded);
    sut.b.receive(100);
    sut.a.carrier.ask();
    sut.pump();
    EXPECT_TRUE(sut.a.end->rest_guard());
    EXPECT_FALSE(sut.a.guarded);
}

TEST_F(Far, ADeathWithNothingKeptIsAnEnd) {
    warm_up();
    sut.a.send(10);
    sut.a.carrier.move(true);
    sut.a.endpoint.deliver();
    sut.b.pump();
    sut.b.fin_sent = true;
    sut.b.deliver_tcp(0);
    sut.b.see_end();
    EXPECT_EQ(receive(sut.b), 10) << "what has come is delivered";
    EXPECT_EQ(receive(sut.b), 0);
}

TEST_F(Far, AStepTakesTheGuardOff) {
    warm_up();
    sut.a.send(10);
    EXPECT_TRUE(sut.a.guarded);
    sut.a.end->step(stream::Reason::kDrained, true);
    sut.pump();
    EXPECT_FALSE(sut.a.guarded);
}

TEST_F(Far, ADeathBeforeTheWordThatItHasSwitchedIsAResetToWhoWasReady) {
    sut.a.send(10);  // into the window, of which nothing comes, nor the word
    ASSERT_TRUE(sut.a.end->on_provider(true));
    sut.b.words.clear();
    sut.b.fin_sent = true;
    sut.b.deliver_tcp(0);
    EXPECT_EQ(receive(sut.b), -EAGAIN);
    EXPECT_TRUE(sut.b.asked);
    EXPECT_TRUE(sut.a.guarded) << "the kernel says it";
}

TEST_F(Far, ADeathOfAPeerThatHadNotSwitchedIsAnEnd) {
    sut.b.fin_sent = true;
    sut.b.deliver_tcp(0);
    EXPECT_EQ(receive(sut.b), -EAGAIN);
    sut.b.see_end();
    EXPECT_EQ(receive(sut.b), 0);
}

TEST_F(Far, AResetBehindANamedEndIsAnErrorToWhoHasNotReadUpToIt) {
    warm_up();
    sut.b.end->finish_writing();
    sut.a.send(1000);
    sut.a.end->finish_writing();
    sut.a.pump();
    while (sut.b.deliver_words()) {
    }
    sut.b.was_reset = true;  // it has died, and of its last bytes none has come
    sut.b.end->tcp_ended(stream::kTcpReset);
    EXPECT_EQ(receive(sut.b), -ECONNRESET);
}

TEST_F(Far, ACloseThatIsWrittenToSaysThatWhatItKeptIsLost) {
    warm_up();
    sut.a.send(1000);
    EXPECT_EQ(sut.a.end->close(false), stream::End::Close::kLinger);
    sut.a.end->leave_memory();  // the kernel resets, for bytes have come that nobody will read
    while (sut.b.deliver_words()) {
    }
    EXPECT_EQ(receive(sut.b), -EAGAIN) << "its end was named, and is not here";
    sut.b.was_reset = true;
    sut.b.end->tcp_ended(stream::kTcpReset);
    EXPECT_EQ(receive(sut.b), -ECONNRESET);
}

TEST_F(Far, WhoAwaitsTheWordsBehindAnEndDoesNotWaitForTcp) {
    sut.b.fin_sent = true;
    sut.b.deliver_tcp(0);
    EXPECT_FALSE(sut.b.end->awaits_end());
    EXPECT_EQ(receive(sut.b), -EAGAIN);
    EXPECT_TRUE(sut.b.end->awaits_end());
    EXPECT_EQ(sut.b.end->events(POLLIN | POLLRDHUP) & (POLLIN | POLLRDHUP), 0);
    sut.b.see_end();
    EXPECT_FALSE(sut.b.end->awaits_end());
    EXPECT_EQ(receive(sut.b), 0);
}

TEST_F(Far, AnOrderlyCloseIsAnEnd) {
    warm_up();
    EXPECT_EQ(sut.a.end->close(false), stream::End::Close::kLinger) << "an idle path does not say what was read";
    sut.pump();
    EXPECT_EQ(sut.a.end->unconsumed(), 0u) << "but it does once the stream has ended";
    sut.b.fin_sent = true;
    sut.b.deliver_tcp(0);
    sut.b.see_end();
    EXPECT_EQ(receive(sut.b), 0);
}

TEST_F(Far, AChannelThatBreaksResetsWhatHasMoved) {
    warm_up();
    EXPECT_FALSE(sut.a.end->peer_falls_silent(true));
    EXPECT_TRUE(sut.a.poisoned);
}

TEST_F(Far, AChannelThatBreaksLeavesOnTcpWhatIsThere) {
    warm_up();
    sut.a.end->step(stream::Reason::kDrained, true);
    sut.pump();
    EXPECT_TRUE(sut.a.end->peer_falls_silent(false));
    sut.a.send(100);
    sut.finish();
    expect_nothing_held();
}

TEST_F(Far, AChannelThatEndsLeavesOnTcpWhatNobodyHasSwitched) {
    EXPECT_TRUE(sut.a.end->peer_falls_silent(true));
    expect_nothing_held();
    sut.a.pump();
    EXPECT_TRUE(sut.a.end->at_rest_on_tcp());
    EXPECT_FALSE(sut.b.end->peer_falls_silent(false)) << "the word that it has may have been lost";
}

TEST_F(Far, NothingIsReadFromAPeersMemoryThatIsNotThere) {
    warm_up();
    // What has not arrived has died with its sender.
    sut.a.send(1000);
    sut.b.end->tcp_ended(stream::kTcpReset);
    EXPECT_LE(receive(sut.b), 0);
    EXPECT_FALSE(sut.b.poisoned);
}

}  // namespace
}  // namespace sansock::path
