// Somebody else has the name under which two ends would meet.
#include <sys/socket.h>

#include <thread>

#include "outcome.hpp"

namespace sansock::hostile {
namespace {

using socket::MessageType;

/// Both roles of a victim.
class Squatter : public testing::TestWithParam<bool> {
protected:
    Squatter() {
        if (accepts()) {
            victim.emplace(std::vector<std::string>{"accept"});
            peer.emplace(Peer::connected_to(*victim));
        } else {
            peer.emplace(Peer::listening());
            victim.emplace(std::vector<std::string>{"connect", std::to_string(peer->port())});
            peer->accept_tcp();
        }
        EXPECT_TRUE(peer->squat());
        EXPECT_TRUE(accepts() ? peer->exchange(2) : peer->echo(2));
    }
    [[nodiscard]] static bool accepts() { return GetParam(); }
    void expect_stayed(const std::string &reason, const std::string &detail) {
        hostile::expect_stayed(*victim, *peer, accepts(), reason, detail);
    }

    std::optional<Victim> victim;
    std::optional<Peer> peer;
};

TEST_P(Squatter, ThatIsHonestIsThePeer) {
    ASSERT_TRUE(peer->accept_channel());
    ASSERT_TRUE(peer->attach());
    if (accepts()) {
        ASSERT_TRUE(peer->move());
    } else {
        EXPECT_TRUE(peer->echo(2));
    }
    peer->finish();
    EXPECT_EQ("end", victim->ending());
    EXPECT_EQ(nullptr, victim->record()["detail"]);
    if (accepts()) {
        EXPECT_EQ("simulated", victim->record()["path"]) << victim->record();
    }
}

TEST_P(Squatter, NeverAccepts) {
    std::this_thread::sleep_for(std::chrono::milliseconds(600));  // past the time that a meeting may take
    expect_stayed("peer-silent", named() + "holds the meeting's name and does not answer");
}

TEST_P(Squatter, AcceptsAndSaysNothing) {
    ASSERT_TRUE(peer->accept_channel());
    EXPECT_TRUE(peer->sees_channel_closed());
    expect_stayed("peer-silent", named() + "holds the meeting's name and does not answer");
}

TEST_P(Squatter, SaysHelloAndNothingMore) {
    ASSERT_TRUE(peer->accept_channel());
    ASSERT_TRUE(peer->send(peer->hello()));
    EXPECT_TRUE(peer->sees_channel_closed());
    expect_stayed("peer-silent", named() + "holds the meeting's name and does not answer");
}

TEST_P(Squatter, SaysGarbage) {
    ASSERT_TRUE(peer->accept_channel());
    const std::string garbage(1000, '\xa5');
    ASSERT_TRUE(peer->send_raw(garbage.data(), garbage.size()));
    EXPECT_TRUE(peer->sees_channel_closed());
    expect_stayed("protocol-error", named() + "sends what is no message");
}

TEST_P(Squatter, Floods) {
    ASSERT_TRUE(peer->accept_channel());
    const auto hello = peer->hello();
    int sent = 0;
    for (bool open = true; open; ++sent) open = peer->send(hello) || errno == EAGAIN;  // until the victim closes
    EXPECT_GT(sent, 1);
    expect_stayed("protocol-error", named() + "sends a message out of turn");
}

TEST_P(Squatter, ClosesEveryChannelAtOnce) {
    int closed = 0;
    for (; peer->accept_channel(100); ++closed) peer->close_channel();
    EXPECT_GT(closed, 2);
    expect_stayed("peer-silent", "");
}

INSTANTIATE_TEST_SUITE_P(Roles, Squatter, testing::Bool(), [](const auto &info) { return info.param ? "Accepting" : "Connecting"; });

}  // namespace
}  // namespace sansock::hostile
