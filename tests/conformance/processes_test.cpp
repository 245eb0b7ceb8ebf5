// The two ends in two processes, one of which may be killed.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstring>

#include "provider_conformance.hpp"

namespace sansock::conformance {
namespace {

void send_offer(int channel, const plugin::Offer &offer) {
    iovec bytes{const_cast<std::uint8_t *>(offer.bytes.data()), offer.bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(SANSOCK_OFFER_FDS_MAX * sizeof(int))> control{};
    msghdr message{.msg_iov = &bytes, .msg_iovlen = 1};
    if (!offer.fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(offer.fds.size() * sizeof(int));
        cmsghdr *const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(offer.fds.size() * sizeof(int));
        for (std::size_t at = 0; at < offer.fds.size(); ++at) {
            const int fd = offer.fds[at].get();
            std::memcpy(CMSG_DATA(header) + at * sizeof fd, &fd, sizeof fd);
        }
    }
    if (::sendmsg(channel, &message, MSG_NOSIGNAL) < 0) throw std::runtime_error("sendmsg");
}

plugin::Offer receive_offer(int channel) {
    plugin::Offer offer;
    offer.bytes.resize(SANSOCK_OFFER_BYTES_MAX);
    iovec bytes{offer.bytes.data(), offer.bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(SANSOCK_OFFER_FDS_MAX * sizeof(int))> control{};
    msghdr message{.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.data(), .msg_controllen = control.size()};
    const ssize_t got = ::recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    if (got <= 0) throw std::runtime_error("recvmsg");
    offer.bytes.resize(static_cast<std::size_t>(got));
    if (const cmsghdr *header = CMSG_FIRSTHDR(&message)) {
        for (std::size_t at = 0; at < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++at) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + at * sizeof fd, sizeof fd);
            offer.fds.emplace_back(fd);
        }
    }
    return offer;
}

/// A process that runs `body` with its end of a channel, and is gone when the case ends.
class Process {
public:
    explicit Process(const std::function<void(int channel)> &body) {
        std::array<int, 2> pair{};
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0) throw std::runtime_error("socketpair");
        channel_.reset(pair[0]);
        pid_ = ::fork();
        if (pid_ != 0) {
            ::close(pair[1]);
            return;
        }
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        channel_.reset();
        try {
            body(pair[1]);
        } catch (const std::exception &error) {
            std::fprintf(stderr, "second process: %s\n", error.what());
            ::_exit(1);
        }
        ::_exit(0);
    }
    ~Process() { kill(); }

    [[nodiscard]] int channel() const { return channel_.get(); }
    void kill() {
        if (pid_ > 0) ::kill(pid_, SIGKILL);
        (void)wait();
    }
    /// The exit status.
    int wait() {
        int status = 0;
        if (pid_ > 0) ::waitpid(pid_, &status, 0);
        pid_ = -1;
        return status;
    }

private:
    UniqueFd channel_;
    pid_t pid_ = -1;
};

void wait_until(const std::function<bool()> &done, End &end) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done()) {
        if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it did not happen in twenty seconds");
        end.poll();
    }
}

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

private:
    Result<plugin::Provider> provider_;
    std::optional<End> end_;
};

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

}  // namespace
}  // namespace sansock::conformance
