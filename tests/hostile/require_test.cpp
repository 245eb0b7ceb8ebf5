// Routes that say `require`: nothing ever goes over TCP.
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "outcome.hpp"

namespace sansock::hostile {
namespace {

const Launch kRequire{.config = SANSOCK_HOSTILE_FOLDER "/require.yaml"};

int bytes_on_tcp(const Peer &peer) {
    int count = 0;
    ioctl(peer.tcp(), FIONREAD, &count);
    return count;
}

void expect_failed(Victim &victim, const Peer &peer, const std::string &reason) {
    EXPECT_THAT(victim.ending(), testing::StartsWith("error "));
    EXPECT_EQ(0, bytes_on_tcp(peer));
    const auto record = victim.record();
    ASSERT_TRUE(record.is_object());
    EXPECT_EQ(reason, record["reason"]);
    EXPECT_EQ(0, record["bytes_sent"]["tcp"]);
    EXPECT_THAT(victim.log(), testing::HasSubstr(reason));
}

TEST(Require, MovesBothEndsBeforeTheFirstByte) {
    Victim server({"accept"}, kRequire);
    Victim client({"connect", std::to_string(server.port()), "200"}, kRequire);
    EXPECT_EQ("end", client.ending()) << client.log();
    EXPECT_EQ("end", server.ending()) << server.log();
    for (Victim *victim : {&server, &client}) {
        const auto record = victim->record();
        ASSERT_TRUE(record.is_object());
        EXPECT_EQ("simulated", record["path"]) << record;
        EXPECT_EQ(0, record["bytes_sent"]["tcp"]);
        EXPECT_EQ(0, record["bytes_received"]["tcp"]);
        EXPECT_EQ(200 * 64, record["bytes_sent"]["provider"]);
    }
}

TEST(Require, MovesAProgramThatPolls) {
    Victim server({"accept", "polls"}, kRequire);
    Victim client({"connect", std::to_string(server.port()), "200"}, kRequire);
    EXPECT_EQ("end", client.ending()) << client.log();
    EXPECT_EQ("end", server.ending()) << server.log();
    EXPECT_EQ("simulated", server.record()["path"]) << server.record();
    EXPECT_EQ(0, server.record()["bytes_received"]["tcp"]);
}

TEST(Require, FailsAnAcceptedConnectionOfAPlainPeer) {
    Victim victim({"accept"}, kRequire);
    Peer peer = Peer::connected_to(victim);
    ASSERT_TRUE(peer.send_tcp("to a program that must not answer"));
    char byte;
    EXPECT_EQ(-1, recv(peer.tcp(), &byte, 1, 0));
    EXPECT_EQ(ECONNRESET, errno);
    expect_failed(victim, peer, "peer-silent");
}

TEST(Require, FailsAConnectionToAPlainPeer) {
    Peer peer = Peer::listening();
    Victim victim({"connect", std::to_string(peer.port())}, kRequire);
    peer.accept_tcp();
    expect_failed(victim, peer, "peer-silent");
}

TEST(Require, FailsWhereTheOtherEndOnlyPrefersAndStaysOnTcp) {
    Peer peer = Peer::listening();
    Victim victim({"connect", std::to_string(peer.port())}, kRequire);
    peer.accept_tcp();
    ASSERT_TRUE(peer.connect_channel());
    ASSERT_TRUE(peer.attach());  // and never says that it is ready
    expect_failed(victim, peer, "peer-silent");
}

TEST(Require, NamesWhoHoldsTheName) {
    Victim victim({"accept"}, kRequire);
    Peer peer = Peer::connected_to(victim);
    peer.close_channel();
    ASSERT_TRUE(peer.connect_channel());
    ASSERT_TRUE(peer.send_raw("garbage", 7));
    expect_failed(victim, peer, "protocol-error");
    EXPECT_THAT(victim.record()["detail"].get<std::string>(), testing::HasSubstr(named()));
}

TEST(Require, LeavesOtherRoutesAlone) {
    Victim victim({"accept"}, {.config = SANSOCK_HOSTILE_FOLDER "/require_elsewhere.yaml"});
    Peer peer = Peer::connected_to(victim);
    EXPECT_TRUE(peer.exchange(5));
    peer.finish();
    EXPECT_EQ("end", victim.ending());
    EXPECT_EQ(5 * 64, victim.record()["bytes_sent"]["tcp"]);
}

}  // namespace
}  // namespace sansock::hostile
