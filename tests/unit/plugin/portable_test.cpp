// What an authenticated peer of the portable provider can do, and what its endpoints cost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sansock/sdk/ext/statistics.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

#include "portable_fixture.hpp"

namespace sansock::portable {
namespace {

using ::testing::ElementsAre;

TEST_F(Portable, LengthsThatNobodySendsBreakTheEndpoint) {
    for (const std::uint32_t length : {std::uint32_t{Impostor::kShortest + 1}, std::uint32_t{0x80000000}, UINT32_MAX}) {
        open();
        End a(provider());
        Impostor peer(a);
        ASSERT_EQ(a.receive(0, 64 * 1024), SANSOCK_OK);
        peer.sends().say_length(length);
        sleep_until([&] { return a.failure() != SANSOCK_OK; }, a);
        EXPECT_EQ(a.failure(), SANSOCK_EPROTO) << length;
        EXPECT_EQ(a.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_ECANCELED), 1U);
        (void)peer.sends().heard();
        EXPECT_TRUE(peer.sends().is_shown_out());
    }
}

TEST_F(Portable, WhoSpeaksWhereHeShouldListenBreaksTheEndpoint) {
    open();
    End a(provider());
    Impostor peer(a);
    poll_until([&] { return a.established(); }, {&a});
    peer.receives().say("x", 1);
    sleep_until([&] { return a.failure() != SANSOCK_OK; }, a);
    EXPECT_EQ(a.failure(), SANSOCK_EPROTO);
}

TEST_F(Portable, MessagesMayArriveByteByByte) {
    open();
    End a(provider());
    Impostor peer(a);
    for (std::uint64_t token = 0; token < 3; ++token) ASSERT_EQ(a.receive(token * 100, 100, token), SANSOCK_OK);
    const std::string bytes("\x05\0\0\0hello\0\0\0\0\x03\0\0\0you", 20);
    for (const char byte : bytes) {
        peer.sends().say(&byte, 1);
        a.poll();
    }
    sleep_until([&] { return a.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK) == 3; }, a);
    std::vector<std::string> got;
    for (const sansock_completion &each : a.reported) {
        if (each.kind == SANSOCK_COMPLETION_RECEIVE) got.emplace_back(reinterpret_cast<char *>(a.memory.at(each.token * 100)), each.length);
    }
    EXPECT_THAT(got, ElementsAre("hello", "", "you"));
}

TEST_F(Portable, HalfAMessageIsNone) {
    open();
    End a(provider());
    Impostor peer(a);
    ASSERT_EQ(a.receive(0, 4096), SANSOCK_OK);
    peer.sends().say_length(1000);
    peer.sends().say("the beginning", 13);
    poll_until([&] { return a.established() && *a.memory.at(0) == 't'; }, {&a});
    peer.sends().leave();
    sleep_until([&] { return a.failure() != SANSOCK_OK; }, a);
    EXPECT_EQ(a.failure(), SANSOCK_ECONNRESET);
    EXPECT_EQ(a.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK), 0U);
}

TEST_F(Portable, WhoLeavesOneDirectionOnlyIsNotWaitedForForEver) {
    open("{address: 127.0.0.1, timeout: 2s}");
    End a(provider());
    Impostor peer(a);
    poll_until([&] { return a.established(); }, {&a});
    peer.receives().leave();
    sleep_until([&] { return a.failure() != SANSOCK_OK; }, a);
    EXPECT_EQ(a.failure(), SANSOCK_ECONNRESET);
    EXPECT_LE(wakeups_, 8) << "it did not sleep meanwhile";
}

TEST_F(Portable, MessagesThatWaitForReceivesKeepNobodyAwake) {
    open();
    End a(provider()), b(provider());
    connect(a, b);
    for (int count = 0; count < 8; ++count) ASSERT_EQ(a.send(0, 16 * 1024), SANSOCK_OK);
    for (int polls = 0; polls < 100; ++polls) b.poll();
    a.endpoint.reset();
    const auto is_quiet = [&] {
        EXPECT_TRUE(b.queue.arm());
        b.poll();
        pollfd waiting{.fd = b.queue.notification_fd(), .events = POLLIN, .revents = 0};
        return ::poll(&waiting, 1, 0) == 0;
    };
    poll_until(is_quiet, {});
    EXPECT_EQ(b.failure(), SANSOCK_OK);
}

TEST_F(Portable, SocketsThatAForkedChildHoldsDoNotHideTheEnd) {
    open();
    End a(provider()), b(provider());
    connect(a, b);
    const pid_t child = ::fork();
    if (child == 0) {
        for (;;) ::pause();
    }
    b.endpoint.reset();
    sleep_until([&] { return a.failure() != SANSOCK_OK; }, a);
    EXPECT_EQ(a.failure(), SANSOCK_ECONNRESET);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
}

TEST_F(Portable, DescriptorsAreFewAndCloseOnExec) {
    const auto descriptors = [] {
        std::map<int, std::string> open;
        for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code gone;
            const auto target = std::filesystem::read_symlink(entry.path(), gone);
            if (!gone) open[std::stoi(entry.path().filename())] = target;
        }
        return open;
    };
    open();
    End a(provider()), b(provider());
    const auto before = descriptors();
    connect(a, b);
    std::map<std::string, int> kinds;
    for (const auto &[fd, target] : descriptors()) {
        if (before.contains(fd)) continue;
        EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0) << target;
        ++kinds[target.substr(0, target.find('['))];
    }
    EXPECT_THAT(kinds, ElementsAre(std::pair("anon_inode:", 1), std::pair("socket:", 4)));
}

TEST_F(Portable, StatisticsCountWhatWasMoved) {
    open();
    End a(provider()), b(provider());
    connect(a, b);
    expect_carries(a, b);
    const auto *ops = provider().extension<sansock_statistics_ops>(SANSOCK_EXT_STATISTICS);
    ASSERT_NE(ops, nullptr);
    sansock_statistics sent{.size = sizeof sent}, received{.size = sizeof received};
    poll_until([&] { return a.count(SANSOCK_COMPLETION_SEND) == 1; }, {&a});
    ops->get(a.endpoint->get(), &sent);
    ops->get(b.endpoint->get(), &received);
    EXPECT_TRUE(sent.messages_sent == 1 && sent.bytes_sent == 64);
    EXPECT_TRUE(received.messages_received == 1 && received.bytes_received == 64);
}

}  // namespace
}  // namespace sansock::portable
