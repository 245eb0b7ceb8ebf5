// poll, arm, poll again, sleep: no wake-up is ever lost.
#include <poll.h>

#include <thread>

#include "provider_conformance.hpp"

namespace sansock::conformance {
namespace {

/// Whether the queue's descriptor becomes readable within `ms`.
bool readable(const End &end, int ms) {
    pollfd waiting{.fd = end.queue.notification_fd(), .events = POLLIN, .revents = 0};
    return ::poll(&waiting, 1, ms) == 1;
}

constexpr int kPatienceMs = 20'000;

/// Waits as sansock/sdk/completion.h says, until `done`.
void sleep_until(End &end, const std::function<bool()> &done, std::uint32_t what = SANSOCK_NOTIFY_ALL) {
    for (;;) {
        end.poll();
        if (done()) return;
        ASSERT_TRUE(end.queue.arm(what));
        end.poll();
        if (done()) return;
        ASSERT_TRUE(readable(end, kPatienceMs)) << "a wake-up was lost";
    }
}

TEST_P(ProviderConformance, ArmingAnIdleQueueMakesItQuiet) {
    End a(provider()), b(provider());
    connect(a, b);
    ASSERT_TRUE(b.queue.arm());
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE) == 1; }, {&a, &b});
    ASSERT_TRUE(b.queue.arm());
    b.poll();
    EXPECT_FALSE(readable(b, 0));
}

TEST_P(ProviderConformance, SleepersAreWokenByAMessage) {
    End a(provider()), b(provider());
    connect(a, b);
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    ASSERT_TRUE(b.queue.arm());
    b.poll();
    ASSERT_EQ(b.count(SANSOCK_COMPLETION_RECEIVE), 0U);
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    sleep_until(a, [&] { return a.count(SANSOCK_COMPLETION_SEND) == 1; });
    sleep_until(b, [&] { return b.count(SANSOCK_COMPLETION_RECEIVE) == 1; });
}

TEST_P(ProviderConformance, SleepersAreWokenByThePeersClose) {
    for (const std::uint32_t what : {SANSOCK_NOTIFY_ALL, SANSOCK_NOTIFY_ARRIVALS}) {
        End a(provider()), b(provider());
        connect(a, b);
        ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
        ASSERT_TRUE(b.queue.arm(what));
        b.poll();
        a.endpoint.reset();
        EXPECT_TRUE(readable(b, kPatienceMs));
        sleep_until(
            b, [&] { return b.failure() == SANSOCK_ECONNRESET; }, what);
    }
}

TEST_P(ProviderConformance, SleepersAreWokenByTheConnection) {
    End a(provider()), b(provider());
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer) << offer.error().text;
    ASSERT_TRUE(a.queue.arm());
    a.poll();
    const auto answer = b.endpoint->accept_offer(*offer);
    ASSERT_TRUE(answer) << answer.error().text;
    ASSERT_TRUE(a.endpoint->take_answer(*answer));
    EXPECT_TRUE(readable(a, kPatienceMs));
    sleep_until(a, [&] { return a.established(); });
}

TEST_P(ProviderConformance, SleepersAreWokenByWhatTheirOwnEndPosts) {
    if (provider().limits().unreceived != SANSOCK_UNRECEIVED_WAITS) GTEST_SKIP() << "messages do not wait for receives";
    End a(provider()), b(provider());
    connect(a, b);
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    for (int polls = 0; polls < 100; ++polls) {
        a.poll();
        b.poll();
    }
    // The message is there, its receive is not: another thread posts it while one sleeps.
    ASSERT_TRUE(b.queue.arm());
    b.poll();
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    sleep_until(a, [&] { return a.count(SANSOCK_COMPLETION_SEND) == 1; });
    EXPECT_TRUE(readable(b, kPatienceMs));
    sleep_until(b, [&] { return b.count(SANSOCK_COMPLETION_RECEIVE) == 1; });
}

TEST_P(ProviderConformance, WhoWaitsForArrivalsAloneIsToldOfSendsOnceItAsks) {
    End a(provider()), b(provider());
    connect(a, b);
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    ASSERT_TRUE(a.queue.arm(SANSOCK_NOTIFY_ARRIVALS));
    a.poll();
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    sleep_until(b, [&] { return b.count(SANSOCK_COMPLETION_RECEIVE) == 1; });
    // Whether the send was done before this or after, and whatever has been notified already.
    if (a.count(SANSOCK_COMPLETION_SEND) == 0) {
        ASSERT_TRUE(a.queue.arm(SANSOCK_NOTIFY_ALL));
        sleep_until(a, [&] { return a.count(SANSOCK_COMPLETION_SEND) == 1; });
    }
    // And again the other way round.
    ASSERT_EQ(a.receive(0, 64), SANSOCK_OK);
    ASSERT_TRUE(a.queue.arm(SANSOCK_NOTIFY_ALL));
    ASSERT_TRUE(a.queue.arm(SANSOCK_NOTIFY_ARRIVALS));
    a.poll();
    ASSERT_EQ(b.send(0, 64), SANSOCK_OK);
    EXPECT_TRUE(readable(a, kPatienceMs));
    sleep_until(
        a, [&] { return a.count(SANSOCK_COMPLETION_RECEIVE) == 1; }, SANSOCK_NOTIFY_ARRIVALS);
}

TEST_P(ProviderConformance, WakeupsAreNeverLostBetweenThreads) {
    constexpr std::size_t kRounds = 500;
    End a(provider()), b(provider());
    connect(a, b);
    // Each end plays in a thread of its own, and spins for a random while before it arms, to meet the other in every
    // phase. A receive is always posted before the message that leads to its use is sent.
    ASSERT_EQ(a.receive(0, 64), SANSOCK_OK);
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    const auto play = [](End &end, bool first, std::mt19937 dice) {
        for (std::size_t round = 1; round <= kRounds && !HasFailure(); ++round) {
            const auto send = [&] { ASSERT_EQ(end.send(64, 64), SANSOCK_OK); };
            if (first) send();
            for (auto spins = dice() % 200; spins > 0; --spins) end.poll();
            const std::uint32_t what = dice() % 2 == 0 ? SANSOCK_NOTIFY_ARRIVALS : SANSOCK_NOTIFY_ALL;
            sleep_until(
                end, [&] { return end.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK) == round; }, what);
            ASSERT_EQ(end.receive(0, 64), SANSOCK_OK);
            if (!first) send();
            sleep_until(end, [&] { return end.count(SANSOCK_COMPLETION_SEND, SANSOCK_OK) == round; });
        }
    };
    std::jthread other([&, dice = std::mt19937(random())] { play(b, false, dice); });
    play(a, true, std::mt19937(random()));
}

}  // namespace
}  // namespace sansock::conformance
