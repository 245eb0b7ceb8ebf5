// Two users of one host, and two network namespaces.
#include <arpa/inet.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "outcome.hpp"

namespace sansock::hostile {
namespace {

using socket::MessageType;
using socket::Received;

constexpr uid_t kOne = 65533, kOther = 65534;

class Users : public testing::Test {
protected:
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "needs root";
    }
    static void run_pair(const std::string &config, Victim &server) {
        Victim client({"connect", std::to_string(server.port()), "20000"}, {.config = config, .user = kOther});
        EXPECT_EQ("end", client.ending()) << client.log();
        EXPECT_EQ("end", server.ending()) << server.log();
        const bool allowed = config.ends_with("users.yaml");
        for (Victim *victim : {&server, &client}) {
            const auto record = victim->record();
            ASSERT_TRUE(record.is_object());
            EXPECT_EQ(allowed ? "simulated" : "tcp", record["path"]) << record;
            if (allowed) {
                EXPECT_GT(record["bytes_sent"]["provider"], 10'000 * 64);
                continue;
            }
            // One end refuses before the other has looked, and closes the channel.
            EXPECT_THAT(record["reason"], testing::AnyOf("peer-user", "peer-silent", "not-yet")) << record;
            EXPECT_EQ(0, record["bytes_sent"]["provider"]);
        }
    }
};

TEST_F(Users, ThatTheListAllowsShareMemory) {
    const std::string config = SANSOCK_HOSTILE_FOLDER "/users.yaml";
    Victim server({"accept"}, {.config = config, .user = kOne});
    run_pair(config, server);
}

TEST_F(Users, ThatNoListNamesStayOnTcp) {
    Victim server({"accept"}, {.user = kOne});
    run_pair(SANSOCK_HOSTILE_CONFIG, server);
}

TEST_F(Users, ThatAreNotAllowedAreNamed) {
    Victim victim({"accept"});
    Peer peer = Peer::connected_to(victim);
    ASSERT_TRUE(peer.exchange(2));
    const pid_t child = fork();
    if (child == 0) {
        if (setgid(kOther) != 0 || setuid(kOther) != 0 || !peer.connect_channel()) _exit(1);
        // Nothing but a greeting may come to a stranger.
        Received received;
        if (!peer.send(peer.hello()) || !peer.receive(MessageType::kHello, received) || received.fd) _exit(2);
        _exit(peer.sees_channel_closed() ? 0 : 3);
    }
    int status = 0;
    ASSERT_EQ(child, waitpid(child, &status, 0));
    EXPECT_EQ(0, status);
    EXPECT_TRUE(peer.exchange(3));
    peer.finish();
    EXPECT_EQ("end", victim.ending());
    EXPECT_EQ("peer-user", victim.record()["reason"]);
    EXPECT_THAT(victim.record()["detail"].get<std::string>(), testing::HasSubstr(named(kOther, child)));
    EXPECT_THAT(victim.log(), testing::HasSubstr(named(kOther, child)));
}

/// A connection with the addresses of `real`, in another network namespace; nothing when none may be made here.
std::pair<UniqueFd, UniqueFd> forged(const Peer &real) {
    sockaddr_in local{}, remote{};
    socklen_t size = sizeof local;
    getsockname(real.tcp(), reinterpret_cast<sockaddr *>(&local), &size);
    getpeername(real.tcp(), reinterpret_cast<sockaddr *>(&remote), &size);
    std::pair<UniqueFd, UniqueFd> made;  // with its listener, which keeps it alive
    std::thread elsewhere([&] {
        if (unshare(CLONE_NEWNET) != 0) return;
        bring_loopback_up();
        UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (bind(listener.get(), reinterpret_cast<sockaddr *>(&remote), sizeof remote) == 0 && listen(listener.get(), 1) == 0 &&
            bind(fd.get(), reinterpret_cast<sockaddr *>(&local), sizeof local) == 0 &&
            connect(fd.get(), reinterpret_cast<sockaddr *>(&remote), sizeof remote) == 0) {
            made = {std::move(fd), std::move(listener)};
        }
    });
    elsewhere.join();
    return made;
}

TEST(Namespaces, OfAnotherNetworkProveNothing) {
    Victim victim({"accept"});
    Peer peer = Peer::connected_to(victim);
    ASSERT_TRUE(peer.exchange(2));
    ASSERT_TRUE(peer.connect_channel());
    ASSERT_TRUE(peer.greet());
    const auto [proof, listener] = forged(peer);
    if (!proof) GTEST_SKIP() << "may not make a network namespace";
    sockaddr_in6 of_forged{}, of_real{}, remote{};
    ASSERT_TRUE(socket::socket_addresses(proof.get(), of_forged, remote) && socket::socket_addresses(peer.tcp(), of_real, remote));
    ASSERT_TRUE(socket::same_address(of_forged, of_real));
    ASSERT_TRUE(peer.send(peer.proposal(), {proof.get()}));
    std::this_thread::sleep_for(std::chrono::milliseconds(600));  // past the time that a meeting may take
    expect_stayed(victim, peer, true, "peer-silent", named() + "does not hold the other end that it claims");
}

}  // namespace
}  // namespace sansock::hostile
