// Offer and answer, in order and out of it, whole and damaged.
#include <fcntl.h>
#include <sys/socket.h>

#include "provider_conformance.hpp"

namespace sansock::conformance {
namespace {

plugin::Offer copy(const plugin::Offer &offer) {
    plugin::Offer copied{.bytes = offer.bytes};
    for (const plugin::OfferFd &fd : offer.fds) copied.fds.emplace_back(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    return copied;
}

/// Uses an endpoint that may or may not have been connected by damaged words: nothing it says matters, only that it
/// lives.
void exercise(End &end) {
    (void)end.receive(0, 64);
    (void)end.send(0, 64);
    (void)end.queue.arm();
    for (int polls = 0; polls < 3; ++polls) end.poll();
}

TEST_P(ProviderConformance, EstablishesBothEndsAndSaysSoOnce) {
    End a(provider()), b(provider());
    EXPECT_EQ(a.endpoint->state(), SANSOCK_ENDPOINT_CREATED);
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer) << offer.error().text;
    EXPECT_EQ(a.endpoint->state(), SANSOCK_ENDPOINT_OFFERED);
    const auto answer = b.endpoint->accept_offer(*offer);
    ASSERT_TRUE(answer) << answer.error().text;
    ASSERT_TRUE(a.endpoint->take_answer(*answer));
    poll_until([&] { return a.established() && b.established(); }, {&a, &b});
    EXPECT_EQ(a.endpoint->state(), SANSOCK_ENDPOINT_ESTABLISHED);
    EXPECT_EQ(b.endpoint->state(), SANSOCK_ENDPOINT_ESTABLISHED);
    EXPECT_EQ(a.reported.size() + b.reported.size(), 2U);
}

TEST_P(ProviderConformance, CallsOutOfOrderAreRefusedAndChangeNothing) {
    End a(provider()), b(provider());
    EXPECT_EQ(a.send(0, 1), SANSOCK_ENOTCONN);
    EXPECT_EQ(a.endpoint->take_answer({}).error().code, EINVAL);
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer) << offer.error().text;
    EXPECT_EQ(a.send(0, 1), SANSOCK_ENOTCONN);
    EXPECT_EQ(a.endpoint->make_offer().error().code, EINVAL);
    EXPECT_EQ(a.endpoint->accept_offer(copy(*offer)).error().code, EINVAL);
    const auto answer = b.endpoint->accept_offer(*offer);
    ASSERT_TRUE(answer) << answer.error().text;
    EXPECT_EQ(b.endpoint->make_offer().error().code, EINVAL);
    EXPECT_EQ(b.endpoint->accept_offer(*offer).error().code, EINVAL);
    ASSERT_TRUE(a.endpoint->take_answer(*answer));
    EXPECT_EQ(a.endpoint->take_answer(*answer).error().code, EINVAL);
    poll_until([&] { return a.established() && b.established(); }, {&a, &b});
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE) == 1; }, {&a, &b});
}

TEST_P(ProviderConformance, OffersCutShortAreRefused) {
    End a(provider());
    const auto offer = a.endpoint->make_offer();
    ASSERT_TRUE(offer) << offer.error().text;
    for (std::size_t length = 0; length < offer->bytes.size(); ++length) {
        plugin::Offer cut = copy(*offer);
        cut.bytes.resize(length);
        End b(provider());
        const auto answer = b.endpoint->accept_offer(cut);
        ASSERT_FALSE(answer) << length << " of " << offer->bytes.size() << " bytes";
        EXPECT_FALSE(answer.error().text.empty());
        EXPECT_EQ(b.endpoint->state(), SANSOCK_ENDPOINT_FAILED);
    }
    for (std::size_t count = 0; count < offer->fds.size(); ++count) {
        plugin::Offer cut = copy(*offer);
        cut.fds.resize(count);
        End b(provider());
        ASSERT_FALSE(b.endpoint->accept_offer(cut)) << count << " of " << offer->fds.size() << " descriptors";
    }
}

TEST_P(ProviderConformance, OffersAndAnswersWithForeignDescriptorsAreRefused) {
    const auto foreign = [](int which) {
        switch (which) {
            case 0: return ::open("/dev/null", O_RDWR | O_CLOEXEC);
            case 1: return ::open("/", O_RDONLY | O_CLOEXEC);
            default: return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        }
    };
    for (int which = 0; which < 3; ++which) {
        for (std::size_t at = 0;; ++at) {
            End a(provider()), b(provider());
            auto offer = a.endpoint->make_offer();
            ASSERT_TRUE(offer) << offer.error().text;
            if (at >= offer->fds.size()) break;
            offer->fds[at].reset(foreign(which));
            EXPECT_FALSE(b.endpoint->accept_offer(*offer)) << "offer, descriptor " << at << ", kind " << which;
            exercise(b);
        }
        for (std::size_t at = 0;; ++at) {
            End a(provider()), b(provider());
            const auto offer = a.endpoint->make_offer();
            ASSERT_TRUE(offer) << offer.error().text;
            auto answer = b.endpoint->accept_offer(*offer);
            ASSERT_TRUE(answer) << answer.error().text;
            if (at >= answer->fds.size()) break;
            answer->fds[at].reset(foreign(which));
            EXPECT_FALSE(a.endpoint->take_answer(*answer)) << "answer, descriptor " << at << ", kind " << which;
            exercise(a);
            exercise(b);
        }
    }
}

TEST_P(ProviderConformance, SurvivesEveryFlippedBitOfAnOffer) {
    std::size_t bytes = 1;
    for (std::size_t bit = 0; bit < bytes * 8; ++bit) {
        End a(provider()), b(provider());
        auto offer = a.endpoint->make_offer();
        ASSERT_TRUE(offer) << offer.error().text;
        bytes = offer->bytes.size();
        offer->bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        if (const auto answer = b.endpoint->accept_offer(*offer)) (void)a.endpoint->take_answer(*answer);
        exercise(a);
        exercise(b);
    }
}

TEST_P(ProviderConformance, SurvivesEveryFlippedBitOfAnAnswer) {
    std::size_t bytes = 1;
    for (std::size_t bit = 0; bit < bytes * 8; ++bit) {
        End a(provider()), b(provider());
        const auto offer = a.endpoint->make_offer();
        ASSERT_TRUE(offer) << offer.error().text;
        auto answer = b.endpoint->accept_offer(*offer);
        ASSERT_TRUE(answer) << answer.error().text;
        bytes = answer->bytes.size();
        answer->bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        (void)a.endpoint->take_answer(*answer);
        exercise(a);
        exercise(b);
    }
}

TEST_P(ProviderConformance, AnswersToAnotherOfferAreRefused) {
    End a(provider()), b(provider()), c(provider()), d(provider());
    const auto offer_a = a.endpoint->make_offer();
    const auto offer_c = c.endpoint->make_offer();
    ASSERT_TRUE(offer_a && offer_c);
    const auto answer_b = b.endpoint->accept_offer(*offer_a);
    const auto answer_d = d.endpoint->accept_offer(*offer_c);
    ASSERT_TRUE(answer_b && answer_d);
    EXPECT_FALSE(a.endpoint->take_answer(*answer_d));
    EXPECT_EQ(a.endpoint->state(), SANSOCK_ENDPOINT_FAILED);
    EXPECT_TRUE(c.endpoint->take_answer(*answer_d)) << "the rightful one still can";
}

}  // namespace
}  // namespace sansock::conformance
