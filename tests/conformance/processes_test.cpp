// The two ends in two processes, one of which may be killed.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "second_process.hpp"

namespace sansock::conformance {
namespace {

/// The second process: answers the offer, sends every message back, and goes when it is told that the peer has closed.
void echo(const Target &target, int channel) {
    std::optional<plugin::Host> host;
    auto provider = open_target(target, host);
    if (!provider) throw std::runtime_error(provider.error().text);
    End end(*provider);
    if (end.receive(0, 16 * 1024) != SANSOCK_OK) throw std::runtime_error("post_receive");
    const auto answer = end.endpoint->accept_offer(receive_offer(channel));
    if (!answer) throw std::runtime_error(answer.error().text);
    send_offer(channel, *answer);
    std::uint64_t at = 0;
    while (end.failure() == SANSOCK_OK) {
        end.poll();
        for (const sansock_completion &each : std::exchange(end.reported, {})) {
            if (each.kind == SANSOCK_COMPLETION_STATE && each.status != SANSOCK_OK) return;
            if (each.kind != SANSOCK_COMPLETION_RECEIVE || each.status != SANSOCK_OK) continue;
            // The peer sends again as soon as it has its answer: the next receive stands before that goes out, in other memory.
            const std::uint64_t from = std::exchange(at, 16 * 1024 - at);
            if (end.receive(at, 16 * 1024) != SANSOCK_OK) return;
            if (end.send(from, each.length) != SANSOCK_OK) return;
            // The bytes are lent until the send is done, and only then may a message overwrite them.
            wait_until([&] { return end.count(SANSOCK_COMPLETION_SEND) == 1 || end.failure() != SANSOCK_OK; }, end);
            if (end.failure() != SANSOCK_OK) return;
            std::erase_if(end.reported, [](const sansock_completion &done) { return done.kind == SANSOCK_COMPLETION_SEND; });
        }
    }
}

class TwoProcesses {
public:
    TwoProcesses(const Target &target, Process &other, std::optional<plugin::Host> &host) : provider_(open_target(target, host)) {
        if (!provider_) throw std::runtime_error(provider_.error().text);
        end_.emplace(*provider_);
        const auto offer = end_->endpoint->make_offer();
        if (!offer) throw std::runtime_error(offer.error().text);
        send_offer(other.channel(), *offer);
        const auto taken = end_->endpoint->take_answer(receive_offer(other.channel()));
        if (!taken) throw std::runtime_error(taken.error().text);
        wait_until([&] { return end_->established(); }, *end_);
    }
    [[nodiscard]] End &end() { return *end_; }
    [[nodiscard]] const sansock_limits &limits() const { return provider_->limits(); }

private:
    Result<plugin::Provider> provider_;
    std::optional<End> end_;
};

/// Whoever shares the process's connections reads what lies there; no child uses a provider's objects.
TEST_P(ProviderConformance, ChildrenHaveWhatIsRegistered) {
    End a(provider()), b(provider());
    connect(a, b);
    fill(a.memory, 0, 64 * 1024, 7);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(holds(a.memory, 0, 64 * 1024, 7) ? 0 : 1);
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "it ended with " << status;
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    fill(a.memory, 0, 64, 8);  // the device sees this page still
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    poll_until([&] { return b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK) == 1; }, {&a, &b});
    EXPECT_TRUE(holds(b.memory, 0, 64, 8));
}

/// The reach is asked in a process of its own: nothing may be opened here before the fork.
bool reaches_other_processes(const Target &target) {
    Process asking([&](int) {
        std::optional<plugin::Host> host;
        const auto provider = open_target(target, host);
        if (!provider) throw std::runtime_error(provider.error().text);
        ::_exit(provider->limits().reach > SANSOCK_REACH_PROCESS ? 0 : 2);
    });
    const int status = asking.wait();
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 1) throw std::runtime_error("the provider cannot be opened");
    return WEXITSTATUS(status) == 0;
}

#define SKIP_WITHIN_ONE_PROCESS() \
    if (!reaches_other_processes(GetParam())) GTEST_SKIP() << "the provider reaches no other process"

TEST_P(ProviderConformance, MessagesCrossProcesses) {
    SKIP_WITHIN_ONE_PROCESS();
    Process other([&](int channel) { echo(GetParam(), channel); });
    std::optional<plugin::Host> host;
    {
        TwoProcesses connection(GetParam(), other, host);
        End &end = connection.end();
        for (std::uint64_t round = 0; round < 100; ++round) {
            const std::uint64_t length = below(8 * 1024);
            fill(end.memory, 0, length, round);
            end.reported.clear();
            ASSERT_EQ(end.receive(16 * 1024, 16 * 1024), SANSOCK_OK);
            ASSERT_EQ(end.send(0, length), SANSOCK_OK);
            wait_until([&] { return end.count(SANSOCK_COMPLETION_RECEIVE) == 1 && end.count(SANSOCK_COMPLETION_SEND) == 1; }, end);
            ASSERT_TRUE(holds(end.memory, 16 * 1024, length, round));
        }
    }
    EXPECT_EQ(other.wait(), 0) << "the other end hears of the close and goes";
}

TEST_P(ProviderConformance, SurvivorsHearOfAKilledPeer) {
    SKIP_WITHIN_ONE_PROCESS();
    for (const bool asleep : {false, true}) {
        Process other([&](int channel) { echo(GetParam(), channel); });
        std::optional<plugin::Host> host;
        TwoProcesses connection(GetParam(), other, host);
        End &end = connection.end();
        ASSERT_EQ(end.receive(0, 64), SANSOCK_OK);
        if (asleep) {
            ASSERT_TRUE(end.queue.arm());
            end.poll();
        }
        other.kill();
        wait_until([&] { return end.failure() != SANSOCK_OK; }, end);
        EXPECT_EQ(end.failure(), SANSOCK_ECONNRESET);
        EXPECT_EQ(end.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_ECANCELED), 1U);
    }
}

TEST_P(ProviderConformance, SurvivorsHearOfAPeerKilledWhileSending) {
    SKIP_WITHIN_ONE_PROCESS();
    for (int round = 0; round < 10; ++round) {
        Process other([&](int channel) { echo(GetParam(), channel); });
        std::optional<plugin::Host> host;
        TwoProcesses connection(GetParam(), other, host);
        End &end = connection.end();
        const std::uint32_t kill_after = 1 + below(2000);
        std::uint32_t polls = 0;
        wait_until(
            [&] {
                (void)end.receive(16 * 1024, 16 * 1024);
                (void)end.send(0, below(8 * 1024));
                if (++polls == kill_after) other.kill();
                return end.failure() != SANSOCK_OK;
            },
            end);
        EXPECT_EQ(end.failure(), SANSOCK_ECONNRESET);
    }
}

/// Sends as much as goes, without receiving anything, says how much that was, and waits for its end.
void send_until_full(const Target &target, int channel) {
    std::optional<plugin::Host> host;
    auto provider = open_target(target, host);
    if (!provider) throw std::runtime_error(provider.error().text);
    End end(*provider);
    const auto answer = end.endpoint->accept_offer(receive_offer(channel));
    if (!answer) throw std::runtime_error(answer.error().text);
    send_offer(channel, *answer);
    wait_until([&] { return end.established(); }, end);
    char byte = 0;
    if (::read(channel, &byte, 1) != 1) return;  // Until messages lie here unread.
    const std::uint64_t length = std::min<std::uint64_t>(provider->limits().message_bytes_max, 64 * 1024);
    std::size_t before = 0;
    do {
        before = end.count(SANSOCK_COMPLETION_SEND);
        while (end.send(0, length) == SANSOCK_OK) continue;
        for (int polls = 0; polls < 100; ++polls) end.poll();
    } while (end.count(SANSOCK_COMPLETION_SEND) > before && before < 1000);
    const std::uint64_t sent = end.count(SANSOCK_COMPLETION_SEND, SANSOCK_OK);
    if (::write(channel, &sent, sizeof sent) != sizeof sent) return;
    for (;;) ::pause();
}

TEST_P(ProviderConformance, WhatWasSentArrivesThoughTheSenderIsKilledWithMessagesUnread) {
    SKIP_WITHIN_ONE_PROCESS();
    Process other([&](int channel) { send_until_full(GetParam(), channel); });
    std::optional<plugin::Host> host;
    TwoProcesses connection(GetParam(), other, host);
    if (connection.limits().unreceived != SANSOCK_UNRECEIVED_WAITS) GTEST_SKIP() << "messages do not wait for receives";
    End &end = connection.end();
    const std::uint64_t length = std::min<std::uint64_t>(connection.limits().message_bytes_max, 64 * 1024);
    for (int count = 0; count < 4; ++count) ASSERT_EQ(end.send(0, length), SANSOCK_OK);
    end.poll();
    ASSERT_EQ(::write(other.channel(), "", 1), 1);
    std::uint64_t sent = 0;
    ASSERT_EQ(::read(other.channel(), &sent, sizeof sent), static_cast<ssize_t>(sizeof sent));
    other.kill();
    wait_until(
        [&] {
            while (end.receive(0, length) == SANSOCK_OK) continue;
            return end.failure() != SANSOCK_OK;
        },
        end);
    EXPECT_GE(end.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK), sent);
}

}  // namespace
}  // namespace sansock::conformance
