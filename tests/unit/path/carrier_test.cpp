#include <poll.h>

#include "host.hpp"

namespace sansock::path {
namespace {

class CarrierOfSizes : public ::testing::TestWithParam<Host::Sizes> {};

TEST_P(CarrierOfSizes, CarriesBothDirectionsInOrder) {
    for (unsigned seed = 0; seed < 40; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        Pair sut(GetParam());
        const size_t size_max = seed % 2 != 0 ? 100 : 3 * kBufferSize;
        for (int i = 0; i < 3000 && !HasFatalFailure(); ++i) sut.step(random, size_max);
        sut.finish();
        EXPECT_TRUE(sut.a.end->on_provider(true) && sut.a.end->on_provider(false));
        EXPECT_GT(sut.a.state->out.bytes_provider, 0u);
        ASSERT_FALSE(HasFailure());
    }
}

TEST_P(CarrierOfSizes, AFullDirectionGoesOnWhenItsReaderDoes) {
    Pair sut(GetParam());
    for (int round = 0; round < 200; ++round) {
        for (int i = 0; i < 300; ++i) {
            sut.a.send(kBufferSize);
            sut.b.send(kBufferSize);
            sut.pump();
        }
        sut.a.receive(1 + static_cast<size_t>(round) * 97);
        sut.b.receive(1 + static_cast<size_t>(round) * 89);
        sut.pump();
    }
    EXPECT_GT(sut.a.sent, std::min<uint64_t>(GetParam().window * 100, 1'000'000));
    sut.finish();
}

TEST_P(CarrierOfSizes, OneByteAtATimeIsGatheredWhileCreditsAreOut) {
    Pair sut(GetParam());
    const uint64_t before = sut.a.endpoint.delivered;
    for (int i = 0; i < 2000; ++i) {
        sut.a.send(1);
        sut.pump();
    }
    EXPECT_LT(sut.a.endpoint.delivered - before, GetParam().receives);
    sut.finish();
    EXPECT_EQ(sut.b.received, std::min<uint64_t>(2000, GetParam().window));
}

INSTANTIATE_TEST_SUITE_P(Buffers, CarrierOfSizes,
                         ::testing::Values(Host::Sizes{5, 6, 5 * kBufferSize}, Host::Sizes{255, 255, 255 * kBufferSize},
                                           Host::Sizes{255, 6, 20'000}, Host::Sizes{5, 255, 1000}, Host::Sizes{1, 4, 700},
                                           Host::Sizes{5, 6, 5 * kBufferSize, true}, Host::Sizes{5, 255, 1000, true}),
                         [](const auto &info) {
                             return std::to_string(info.param.sends) + "_" + std::to_string(info.param.receives) + "_" +
                                    std::to_string(info.param.window) + (info.param.far ? "_far" : "");
                         });

TEST(Carrier, RequestsAndResponsesNeedNoOtherMessages) {
    Pair sut;
    for (int i = 0; i < 1000; ++i) {
        sut.a.send(64);
        sut.pump();
        sut.b.receive(100);
        sut.b.send(64);
        sut.pump();
        sut.a.receive(100);
    }
    EXPECT_LE(sut.a.endpoint.delivered, 1002u);
    EXPECT_LE(sut.b.endpoint.delivered, 1002u);
    sut.finish();
}

TEST(Carrier, AnIdlePathIsSilent) {
    Pair sut;
    sut.a.send(100);
    sut.pump();
    sut.b.receive(100);
    sut.pump();
    const uint64_t before = sut.a.endpoint.delivered + sut.b.endpoint.delivered;
    for (int i = 0; i < 100; ++i) sut.pump();
    EXPECT_EQ(sut.a.endpoint.delivered + sut.b.endpoint.delivered, before);
}

TEST(Carrier, AskingTellsWhatIsConsumed) {
    Pair sut;
    sut.a.send(100);
    sut.pump();
    sut.b.receive(100);
    sut.pump();
    EXPECT_EQ(sut.a.end->unconsumed(), 100u) << "not worth a message of its own";
    sut.a.carrier.ask();
    sut.pump();
    EXPECT_EQ(sut.a.end->unconsumed(), 0u);
}

TEST(Carrier, AnEndThatIsDoneIsToldEveryByte) {
    Pair sut;
    sut.a.send(100);
    EXPECT_TRUE(sut.a.end->finish_writing());
    sut.pump();
    sut.b.receive(99);
    sut.pump();
    EXPECT_EQ(sut.a.end->unconsumed(), 1u);
    sut.b.receive(10);
    sut.b.receive(10);
    EXPECT_TRUE(sut.b.at_end);
    sut.pump();
    EXPECT_EQ(sut.a.end->unconsumed(), 0u);
}

TEST(Carrier, AnEndThatFindsNoBuffersIsToldEveryByte) {
    Pair sut;
    sut.a.send(100);
    sut.finish();
    while (sut.a.arena.take_buffer()) {
    }
    // All that it may keep is less than the quarter of its window that the peer tells unasked.
    for (int i = 0; i < 20; ++i) {
        const uint64_t sent = sut.a.sent;
        sut.a.send(kBufferSize);
        EXPECT_GT(sut.a.sent, sent);
        sut.a.send(1);  // there is no room: it says that it waits
        sut.pump();
        sut.b.receive(kBufferSize);
        sut.pump();
    }
    sut.finish();
}

TEST(Carrier, OwnSendsWakeNobodyWhoHasRoomForMore) {
    Pair sut;
    sut.a.send(100);
    sut.a.carrier.move(true);
    ASSERT_TRUE(sut.a.endpoint.deliver());
    EXPECT_FALSE(sut.a.endpoint.has_news());
    sut.b.pump();
    sut.b.send(100);
    sut.b.carrier.move(true);
    ASSERT_TRUE(sut.b.endpoint.deliver());
    EXPECT_TRUE(sut.a.endpoint.has_news());
    sut.finish();
}

TEST(Carrier, WhoLacksAPlaceForTheNextSendIsToldOfTheLast) {
    Pair sut({1, 255, 255 * kBufferSize});
    for (int i = 0; i < 2; ++i) {
        sut.a.send(100);
        sut.a.carrier.move(true);
    }
    ASSERT_TRUE(sut.a.endpoint.deliver());
    EXPECT_TRUE(sut.a.endpoint.has_news());
    sut.finish();
}

TEST(Carrier, WhoseRoomTheProviderKeepsIsToldWhenItDoesNoMore) {
    Pair sut;
    sut.a.endpoint.late_acknowledgements = true;
    sut.a.send(100);
    sut.a.carrier.move(true);
    ASSERT_TRUE(sut.a.endpoint.deliver());
    sut.b.pump();
    sut.b.receive(100);
    sut.b.send(1);
    sut.b.carrier.move(true);
    ASSERT_TRUE(sut.b.endpoint.deliver());
    sut.a.carrier.move(true);  // it hears that all is consumed
    EXPECT_EQ(sut.a.end->unconsumed(), 100u);
    sut.a.endpoint.acknowledge();
    EXPECT_TRUE(sut.a.endpoint.has_news());
    sut.a.endpoint.late_acknowledgements = false;
    sut.finish();
    EXPECT_EQ(sut.a.end->unconsumed(), 0u);
}

TEST(Carrier, BytesAreNotOverwrittenWhileTheProviderReadsThem) {
    Pair sut;
    // Delivered, received and consumed; but the sender has not polled the completion.
    sut.a.send(100);
    sut.a.carrier.move(true);
    sut.a.endpoint.deliver();
    sut.b.pump();
    sut.b.receive(100);
    sut.b.send(1);
    sut.b.pump();
    EXPECT_EQ(sut.a.carrier.landing().slot().hot.consumed, 0u);
    sut.pump();
    EXPECT_EQ(sut.a.carrier.landing().slot().hot.consumed, 100u);
}

TEST(Carrier, NothingIsSentBeforeThePeerWhereTheProviderWantsThat) {
    const Host::Sizes sizes;
    Host a(1, sizes), b(2, sizes);
    a.meet(b);
    b.meet(a);
    const memory::Slot *of_b = &a.theirs.slot(0);
    const memory::Slot *of_a = &b.theirs.slot(0);
    a.carrier.start({&a.arena, a.slot, of_b, nullptr, a.state.get()},
                    {.epoch = 1, .send_depth = 5, .message_bytes = kBufferSize, .peer_receives = 6, .waits_for_first = true});
    b.carrier.start({&b.arena, b.slot, of_a, nullptr, b.state.get()},
                    {.epoch = 1, .send_depth = 5, .message_bytes = kBufferSize, .peer_receives = 6, .sends_first = true});
    a.send(10);
    a.pump();
    EXPECT_EQ(a.endpoint.posted_sends, 0u);
    b.pump();
    EXPECT_EQ(b.endpoint.posted_sends, 1u);
    b.endpoint.deliver();
    a.pump();
    EXPECT_GT(a.endpoint.posted_sends, 0u);
}

TEST(Carrier, WhoMustLeaveTcpFirstIsToldWhenHeMaySend) {
    const Host::Sizes sizes;
    Host a(1, sizes), b(2, sizes);
    a.state->required = true;
    a.meet(b);
    EXPECT_EQ(a.end->events(POLLOUT) & POLLOUT, 0);
    EXPECT_NE(a.slot->hot.want_room, 0) << "or nobody would be told";
    b.meet(a);
    EXPECT_EQ(a.end->events(POLLOUT) & POLLOUT, POLLOUT);
    a.send(10);
    EXPECT_EQ(a.sent, 10u);
    EXPECT_TRUE(a.end->on_provider(true));
}

}  // namespace
}  // namespace sansock::path
