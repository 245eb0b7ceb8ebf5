// Who is let in by the portable provider, and whom it calls.
#include <gmock/gmock.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "portable_fixture.hpp"

namespace sansock::portable {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(Portable, WhoHasNoTokenIsShownOutAndCounted) {
    open();
    {
        End a(provider()), b(provider());
        const auto offer = a.endpoint->make_offer();
        ASSERT_TRUE(offer);
        const Card card = card_of(*offer, true);
        Stranger guesses(card.port), babbles(card.port), shouts(card.port);
        guesses.greet(new_token(), kFromAnswerer);
        babbles.say("GET / HTTP/1.1\r\nHost: sansock\r\n\r\n", 34);
        Greeting wrong = greeting(card.token, kFromAnswerer);
        wrong.way = 7;
        shouts.say(&wrong, sizeof wrong);
        sleep_until([&] { return guesses.is_shown_out() && babbles.is_shown_out() && shouts.is_shown_out(); }, a);
        finish(*offer, a, b);
        expect_carries(b, a);
    }
    provider_.reset();
    EXPECT_THAT(said_, ElementsAre("connections closed that no endpoint had been waiting for: 3"));
}

TEST_F(Portable, TokensOpenEachWayOnce) {
    open();
    End a(provider()), b(provider()), waits(provider());
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer && waits.endpoint->make_offer());
    const Card card = card_of(*offer, true);
    // The rightful peer comes first.
    finish(*offer, a, b);
    for (unsigned way = 0; way < kWays; ++way) {
        Stranger replays(card.port);
        replays.greet(card.token, way);
        sleep_until([&] { return replays.is_shown_out(); }, waits);
    }
    expect_carries(a, b);
    expect_carries(b, a);
}

TEST_F(Portable, TokensThatWereUsedAreUsedUpBeforeTheAnswerToo) {
    open();
    End a(provider());
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer);
    const Card card = card_of(*offer, true);
    Stranger first(card.port), second(card.port);
    first.greet(card.token, kFromAnswerer);
    poll_until([&] { return a.endpoint->state() == SANSOCK_ENDPOINT_OFFERED && !first.is_shown_out(); }, {&a});
    a.poll();
    second.greet(card.token, kFromAnswerer);
    sleep_until([&] { return second.is_shown_out(); }, a);
    EXPECT_FALSE(first.is_shown_out());
}

TEST_F(Portable, SilentStrangersAreShownOutInTime) {
    open("{address: 127.0.0.1, connect_timeout: 100ms}");
    End a(provider());
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer);
    const Card card = card_of(*offer, true);
    Stranger silent(card.port), slow(card.port);
    const Greeting words = greeting(card.token, kFromAnswerer);
    slow.say(&words, sizeof words - 1);
    sleep_until([&] { return silent.is_shown_out() && slow.is_shown_out(); }, a);
    EXPECT_LE(wakeups_, 8) << "it did not sleep meanwhile";
}

TEST_F(Portable, SilentStrangersKeepNobodyOut) {
    open("{address: 127.0.0.1, connect_timeout: 60s}");
    End a(provider()), b(provider());
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer);
    const Card card = card_of(*offer, true);
    std::vector<Stranger> crowd;
    for (int count = 0; count < 100; ++count) crowd.emplace_back(card.port);
    const auto left = [&] { return std::ranges::count_if(crowd, [](Stranger &each) { return !each.is_shown_out(); }); };
    sleep_until([&] { return left() <= 32; }, a);
    finish(*offer, a, b);
    expect_carries(a, b);
    EXPECT_EQ(left(), 0) << "nobody waits any more, so nobody is let in";
}

TEST_F(Portable, TheDoorIsOpenWhileSomebodyWaits) {
    open("{address: 127.0.0.1, ports: 42100-42399}");
    End a(provider()), b(provider());
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer);
    const std::uint16_t port = card_of(*offer, true).port;
    EXPECT_TRUE(port >= 42100 && port <= 42399) << port;
    Stranger while_open(port);
    finish(*offer, a, b);
    EXPECT_THROW(Stranger{port}, std::runtime_error);
}

TEST_F(Portable, AnAddressOfNobodyHereIsToldAtOnce) {
    try {
        open("{address: 192.0.2.199}");
        FAIL() << "it was opened";
    } catch (const std::exception &error) {
        EXPECT_THAT(error.what(), HasSubstr("test:1: options.address is none of this host's"));
    }
}

TEST_F(Portable, TheOfferersProofIsTheAnswersToken) {
    open();
    End a(provider());
    Impostor peer(a);
    poll_until([&] { return a.established(); }, {&a});
    for (unsigned way = 0; way < kWays; ++way) {
        std::optional<Greeting> heard;
        poll_until([&] { return (heard = peer.calls[way].heard()).has_value(); }, {&a});
        EXPECT_TRUE(way_of(*heard) == way && same(heard->token, peer.token));
    }
}

TEST_F(Portable, HostsThatCannotProveThemselvesAreLeft) {
    open();
    for (const bool greets : {true, false}) {
        End b(provider());
        FalseHost host;
        ASSERT_TRUE(b.endpoint->accept_offer(host.offer()));
        for (unsigned way = 0; way < kWays; ++way) {
            Stranger call = host.accept();
            if (greets) call.greet(host.card.token, way);  // The one token that it knows.
        }
        sleep_until([&] { return b.failure() != SANSOCK_OK; }, b);
        EXPECT_EQ(b.failure(), greets ? SANSOCK_EPROTO : SANSOCK_ECONNRESET);
        EXPECT_EQ(b.count(SANSOCK_COMPLETION_STATE, SANSOCK_OK), 0U);
    }
}

TEST_F(Portable, OneAddressAfterTheOtherIsTried) {
    open();
    End a(provider()), b(provider());
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer);
    Card card = card_of(*offer, true);
    // Nobody listens at the first two.
    card.addresses = {*parse_address("127.0.0.2"), *parse_address("127.0.0.3"), *parse_address("127.0.0.1")};
    finish(offer_of(card, true), a, b);
    expect_carries(a, b);
}

TEST_F(Portable, OffersOfWhatIsNoHostAreRefused) {
    open();
    for (const char *address : {"0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "fe80::1"}) {
        End b(provider());
        FalseHost host;
        host.card.addresses = {*parse_address(address)};
        const auto answer = b.endpoint->accept_offer(host.offer());
        ASSERT_FALSE(answer) << address;
        EXPECT_EQ(answer.error().code, EPROTO);
    }
}

TEST_F(Portable, ThreadsShareTheDoor) {
    open();
    // Calls of [control] come one at a time, polls of different queues whenever they like.
    std::mutex control;
    const auto meet = [&] {
        for (int round = 0; round < 50 && !HasFailure(); ++round) {
            std::optional<End> a, b;
            {
                const std::lock_guard lock(control);
                a.emplace(provider());
                b.emplace(provider());
                const auto offer = a->endpoint->make_offer();
                ASSERT_TRUE(offer) << offer.error().text;
                const auto answer = b->endpoint->accept_offer(*offer);
                ASSERT_TRUE(answer) << answer.error().text;
                ASSERT_TRUE(a->endpoint->take_answer(*answer));
            }
            poll_until([&] { return a->established() && b->established(); }, {&*a, &*b});
            expect_carries(*a, *b);
            expect_carries(*b, *a);
            const std::lock_guard lock(control);
            a.reset();
            b.reset();
        }
    };
    std::vector<std::jthread> threads;
    for (int count = 0; count < 4; ++count) threads.emplace_back(meet);
}

}  // namespace
}  // namespace sansock::portable
