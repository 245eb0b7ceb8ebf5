#include "path/credits.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace sansock::path {
namespace {

/// An end that has nothing but credits: data to send without end, and an application that reads when it is told to.
struct Sut {
    Credits credits;
    uint32_t posted = 0;  ///< Receives that really are there.
    uint32_t unread = 0;  ///< Buffers that hold data.
    uint32_t data_sent = 0, data_received = 0, others_sent = 0;
    struct Message {
        uint32_t posted, received;
        bool is_data, is_credit;
    };
    std::deque<Message> *out = nullptr;

    void put(bool is_data, bool is_credit) {
        out->push_back({credits.posted(), credits.received(), is_data, is_credit});
        credits.sent(is_credit);
        ++(is_data ? data_sent : others_sent);
    }
    void take(std::deque<Message> &in) {
        if (in.empty()) return;
        const Message message = in.front();
        in.pop_front();
        ASSERT_GT(posted, 0u) << "a message finds no receive";
        --posted;
        ASSERT_TRUE(credits.take(message.posted, message.received, message.is_credit));
        if (message.is_data) {
            ++unread;
            ++data_received;
        } else {
            ++posted;
            credits.reposted(false);
        }
    }
    void read() {
        if (unread == 0) return;
        --unread;
        ++posted;
        credits.reposted(true);
    }
    void send(bool has_data) {
        while (has_data && credits.may_send_data()) put(true, false);
        if (credits.worth_telling() && (credits.may_send_update() || credits.may_send_credit())) put(false, !credits.may_send_update());
        if (credits.owes_answer()) put(false, false);
    }
};

struct Link {
    Link(uint32_t a_receives, uint32_t b_receives) {
        a.out = &to_b;
        b.out = &to_a;
        a.posted = a_receives;
        b.posted = b_receives;
        a.credits.open(a_receives, b_receives);
        b.credits.open(b_receives, a_receives);
    }
    Sut a, b;
    std::deque<Sut::Message> to_a, to_b;
};

class CreditsOfDepth : public ::testing::TestWithParam<std::pair<uint32_t, uint32_t>> {};

TEST_P(CreditsOfDepth, AreExactAndNeverDeadlock) {
    const auto [a_receives, b_receives] = GetParam();
    for (unsigned seed = 0; seed < 100; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937 random(seed);
        Link link(a_receives, b_receives);
        for (int i = 0; i < 400; ++i) {
            Sut &sut = random() % 2 != 0 ? link.a : link.b;
            switch (random() % 4) {
                case 0: sut.read(); break;
                case 1: sut.send(random() % 3 != 0); break;
                default: sut.take(&sut == &link.a ? link.to_a : link.to_b);
            }
            if (HasFatalFailure()) return;
        }
        // Both are full now, and both applications read: everybody's data must move, for ever.
        const uint32_t before_a = link.a.data_received, before_b = link.b.data_received;
        for (int i = 0; i < 20'000; ++i) {
            Sut &sut = random() % 2 != 0 ? link.a : link.b;
            sut.take(&sut == &link.a ? link.to_a : link.to_b);
            if (HasFatalFailure()) return;
            sut.read();
            sut.send(true);
        }
        ASSERT_GT(link.a.data_received, before_a + 100);
        ASSERT_GT(link.b.data_received, before_b + 100);
    }
}

TEST_P(CreditsOfDepth, FallSilentWhenNobodyReads) {
    const auto [a_receives, b_receives] = GetParam();
    Link link(a_receives, b_receives);
    for (int i = 0; i < 10'000; ++i) {
        link.a.send(true);
        link.b.send(true);
        link.a.take(link.to_a);
        link.b.take(link.to_b);
        if (HasFatalFailure()) return;
    }
    EXPECT_EQ(link.a.unread, a_receives - Credits::kReserved);
    EXPECT_EQ(link.b.unread, b_receives - Credits::kReserved);
    EXPECT_LT(link.a.others_sent + link.b.others_sent, 10u);
}

TEST_P(CreditsOfDepth, AnUpdateLeadsToNoOtherWhereEndsAnswerEachOther) {
    const auto [a_receives, b_receives] = GetParam();
    Link link(a_receives, b_receives);
    if (!link.a.credits.may_send_update() || a_receives < 6 || b_receives < 6) return;
    link.a.put(false, false);
    link.b.take(link.to_b);
    for (int i = 0; i < 1000; ++i) {
        const auto answer = [](Sut &from, Sut &to, std::deque<Sut::Message> &on_the_way) {
            from.put(true, false);
            while (!on_the_way.empty()) to.take(on_the_way);
            to.read();
            to.send(false);  // as a call that has read does, before the application answers
        };
        answer(link.a, link.b, link.to_b);
        answer(link.b, link.a, link.to_a);
        if (HasFatalFailure()) return;
    }
    EXPECT_LE(link.a.others_sent + link.b.others_sent, 2u);
}

INSTANTIATE_TEST_SUITE_P(All, CreditsOfDepth,
                         ::testing::Values(std::pair{4u, 4u}, std::pair{6u, 6u}, std::pair{4u, 255u}, std::pair{255u, 255u},
                                           std::pair{7u, 4u}));

TEST(Credits, ImpossibleCountsAreRefused) {
    const auto fresh = [] {
        Credits sut;
        sut.open(6, 6);
        sut.sent(false);
        return sut;
    };
    EXPECT_TRUE(fresh().take(7, 1, false));
    EXPECT_FALSE(fresh().take(8, 1, false)) << "more receives than it has buffers";
    EXPECT_FALSE(fresh().take(5, 1, false)) << "fewer than it had posted before";
    EXPECT_FALSE(fresh().take(7, 2, false)) << "it received what was never sent";
    Credits sut = fresh();
    EXPECT_TRUE(sut.take(7, 1, false));
    EXPECT_FALSE(sut.take(7, 0, false)) << "it received less than before";
}

}  // namespace
}  // namespace sansock::path
