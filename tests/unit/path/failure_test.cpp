// What becomes of a stream whose provider fails: every byte arrives all the same, over TCP from the byte that its reader named.
#include <cstring>

#include "host.hpp"

namespace sansock::path {
namespace {

enum class Fault { kSendCompletion, kAfterDelivery, kPost };

void expect_stepped_back(const Host &host) {
    EXPECT_EQ(host.state->step_backs, 1u);
    EXPECT_EQ(host.state->reason, static_cast<uint8_t>(stream::Reason::kProviderFailed));
    EXPECT_FALSE(host.end->on_provider(true));
    EXPECT_FALSE(host.end->on_provider(false));
}

class FailureOf : public ::testing::TestWithParam<std::tuple<Fault, bool>> {};

TEST_P(FailureOf, TheNthMessageLosesNothing) {
    // Without faults the same transfer takes `messages`; then it fails at each of them.
    uint64_t messages = 0;
    for (uint64_t at = 0; at <= messages; ++at) {
        SCOPED_TRACE(at);
        const auto [fault, far] = GetParam();
        Pair sut({.far = far});
        std::mt19937 random(7);
        if (at > 0) {
            auto &place = fault == Fault::kPost ? sut.a.endpoint.refuse_send : sut.a.endpoint.fail_at;
            place = at;
            sut.a.endpoint.fail_after_delivery = fault == Fault::kAfterDelivery;
        }
        for (int i = 0; i < 2500 && !HasFatalFailure(); ++i) sut.step(random, 2 * kBufferSize);
        sut.finish();
        // What is said after the failure goes by TCP.
        sut.a.send(1000);
        sut.b.send(1000);
        sut.finish();
        ASSERT_FALSE(HasFailure());
        if (at == 0) {
            messages = sut.a.endpoint.delivered;
            ASSERT_GT(messages, 20u);
            continue;
        }
        expect_stepped_back(sut.a);
        EXPECT_EQ(sut.b.state->step_backs, 1u);
        ASSERT_FALSE(HasFailure());
    }
}

INSTANTIATE_TEST_SUITE_P(At, FailureOf,
                         ::testing::Combine(::testing::Values(Fault::kSendCompletion, Fault::kAfterDelivery, Fault::kPost),
                                            ::testing::Bool()),
                         [](const auto &info) {
                             const Fault fault = std::get<0>(info.param);
                             const std::string what = fault == Fault::kSendCompletion  ? "ASendCompletion"
                                                      : fault == Fault::kAfterDelivery ? "DeliveryOfTheLast"
                                                                                       : "Posting";
                             return what + (std::get<1>(info.param) ? "BetweenHosts" : "");
                         });

class ReturnsAfterFailures : public ::testing::TestWithParam<bool> {};

TEST_P(ReturnsAfterFailures, AsOftenAsThereAreAndLoseNothing) {
    Pair sut({.far = GetParam()});
    std::mt19937 random(11);
    for (uint32_t epochs = 0; epochs < 200 && !HasFatalFailure(); ++epochs) {
        for (int i = 0; i < 150 && !HasFatalFailure(); ++i) sut.step(random, 2 * kBufferSize);
        Host &fails = random() % 2 != 0 ? sut.a : sut.b;
        fails.endpoint.break_with(SANSOCK_EIO);
        for (int i = 0; i < 50 && !HasFatalFailure(); ++i) sut.step(random, 2 * kBufferSize);
        sut.finish();
        ASSERT_FALSE(HasFailure());
        ASSERT_EQ(sut.a.state->epoch, sut.b.state->epoch);
        ASSERT_FALSE(sut.a.end->on_provider(true) || sut.b.end->on_provider(true));
        sut.meet_again();
        sut.pump();
    }
    EXPECT_GT(sut.a.state->upgrades, 100u);
    EXPECT_GT(sut.b.state->upgrades, 100u);
}

INSTANTIATE_TEST_SUITE_P(Of, ReturnsAfterFailures, ::testing::Bool(), [](const auto &info) { return info.param ? "TwoHosts" : "OneHost"; });

TEST(Failure, IsNamedByTheEndpointAndNotByWhatItFlushed) {
    Pair sut;
    sut.a.send(100);
    sut.a.carrier.move(true);
    sut.b.endpoint.break_with(SANSOCK_EIO);
    sut.a.carrier.move(true);
    sut.b.carrier.move(true);
    EXPECT_EQ(sut.a.carrier.status(), SANSOCK_ECONNRESET);
    EXPECT_EQ(sut.b.carrier.status(), SANSOCK_EIO);
}

TEST(Failure, OfASilentPathIsNoticed) {
    Pair sut;
    sut.a.send(100);
    sut.a.carrier.move(true);
    const uint64_t now = now_ns(), limit = 1'000'000'000;
    EXPECT_FALSE(sut.a.carrier.overdue(now, limit));
    EXPECT_TRUE(sut.a.carrier.overdue(now + limit * 3 / 4, limit)) << "asked for a sign of life";
    EXPECT_FALSE(sut.a.carrier.failed());
    EXPECT_TRUE(sut.a.carrier.overdue(now + limit * 2, limit));
    EXPECT_EQ(sut.a.carrier.status(), SANSOCK_ETIMEDOUT);
    sut.finish();
    expect_stepped_back(sut.a);
}

TEST(Failure, OfAPathIsNotSeenInSlowReaders) {
    Pair sut;
    sut.a.send(100);
    sut.pump();
    // The peer's application reads nothing, but its end answers.
    const uint64_t limit = 1'000'000'000;
    EXPECT_TRUE(sut.a.carrier.overdue(now_ns() + limit * 3 / 4, limit));
    sut.pump();
    EXPECT_FALSE(sut.a.carrier.overdue(now_ns() + limit * 10, limit));
    EXPECT_FALSE(sut.a.carrier.failed());
    sut.finish();
}

/// A peer that says what cannot be: the path is given up, and the stream goes on over TCP.
class Lie : public ::testing::Test {
protected:
    /// Lets `b` send a message that `change` has made wrong.
    template <class Change>
    void tell(Change change) {
        Pair sut;
        sut.a.send(10);
        sut.a.carrier.move(true);
        sut.b.send(10);
        sut.b.carrier.move(true);
        // The frame of the first message after the greeting lies in the first places of the landing slot.
        for (uint32_t place = 0; place < kSendsMax; ++place) {
            const sansock_slice slice = sut.b.carrier.landing().frame_place(place);
            Frame frame;
            std::memcpy(&frame, slice.address, sizeof frame);
            change(frame);
            std::memcpy(slice.address, &frame, sizeof frame);
        }
        sut.b.endpoint.deliver();
        sut.a.carrier.move(true);
        EXPECT_EQ(sut.a.carrier.status(), SANSOCK_EPROTO);
    }
};

TEST(Failure, IsNotSeenWhereThePeerHasReadMoreOfTcpThanWasCounted) {
    Pair sut;
    // The kernel has taken bytes of ours and the peer has read them, before our thread comes to count them.
    sut.b.slot->hot.consumed = 1000;
    sut.b.send(10);
    sut.b.carrier.move(true);
    sut.b.endpoint.deliver();
    sut.a.carrier.move(true);
    EXPECT_EQ(sut.a.carrier.status(), SANSOCK_OK);
}

TEST_F(Lie, AboutTheKind) {
    tell([](Frame &frame) { frame.kind = static_cast<FrameKind>(0); });
    tell([](Frame &frame) { frame.kind = FrameKind::kUpdate; });
}
TEST_F(Lie, AboutTheEpoch) {
    tell([](Frame &frame) { frame.epoch += 2; });
}
TEST_F(Lie, AboutTheOffset) {
    tell([](Frame &frame) { ++frame.offset; });
}
TEST_F(Lie, AboutTheSize) {
    tell([](Frame &frame) { ++frame.size; });
}
TEST_F(Lie, AboutWhatItConsumed) {
    tell([](Frame &frame) { frame.consumed = 11; });
}
TEST_F(Lie, AboutItsReceives) {
    tell([](Frame &frame) { frame.posted += 7; });
}
TEST_F(Lie, AboutWhatItReceived) {
    tell([](Frame &frame) { frame.received += 100; });
}

}  // namespace
}  // namespace sansock::path
