#include "control/peers.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <condition_variable>
#include <mutex>
#include <vector>

#include "scratch_identity.hpp"

namespace sansock::control {
namespace {

using namespace std::chrono_literals;
using socket::FoundStatus;

/// What has been answered so far.
class Answers {
public:
    std::function<void(const Reply &)> taker() {
        return [this](const Reply &reply) {
            const std::scoped_lock lock(mutex_);
            replies_.push_back(reply);
            come_.notify_all();
        };
    }
    std::vector<Reply> wait(size_t count) {
        std::unique_lock lock(mutex_);
        EXPECT_TRUE(come_.wait_for(lock, 20s, [&] { return replies_.size() >= count; })) << replies_.size() << " of " << count;
        return replies_;
    }

private:
    std::mutex mutex_;
    std::condition_variable come_;
    std::vector<Reply> replies_;
};

class PeersTest : public Hosts {
protected:
    PeersTest() : identity_(std::move(*Identity::open(host("one", "10.0.0.1")))) {
        listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
        sockaddr_in name{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t size = sizeof name;
        EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr *>(&name), size), 0);
        getsockname(listener_.get(), reinterpret_cast<sockaddr *>(&name), &size);
        port_ = ntohs(name.sin_port);
    }
    Query query(uid_t user = 0, uint8_t host = 1) {
        Query query{.asker = 1, .user = user, .tell = answers_.taker()};
        query.pair.remote.address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, host};
        return query;
    }

    std::unique_ptr<Identity> identity_;
    RendezvousCounts counts_;
    UniqueFd listener_;  ///< Listens only where a test lets it.
    uint16_t port_ = 0;
    Answers answers_;
};

TEST_F(PeersTest, LeavesAloneForAWhileWhoCannotBeReached) {
    Peers peers(*identity_, counts_, port_, {.hold_off = 1h, .hold_off_max = 1h});
    peers.ask(query());
    EXPECT_EQ(answers_.wait(1)[0].status, FoundStatus::kNoDaemon);
    ASSERT_EQ(listen(listener_.get(), 1), 0);
    for (size_t i = 2; i <= 100; ++i) {
        peers.ask(query());
        ASSERT_EQ(answers_.wait(i).size(), i) << "at once";
    }
    for (const Reply &reply : answers_.wait(100)) EXPECT_EQ(reply.why, answers_.wait(1)[0].why);
    EXPECT_EQ(peers.count().unreachable, 1u);
    EXPECT_LT(accept(listener_.get(), nullptr, nullptr), 0) << "nobody has come";
}

TEST_F(PeersTest, TriesAgainAfterwards) {
    Peers peers(*identity_, counts_, port_, {.call = 50ms, .hold_off = 1ms, .hold_off_max = 2ms});
    peers.ask(query());
    answers_.wait(1);
    ASSERT_EQ(listen(listener_.get(), 1), 0);
    for (size_t i = 2; answers_.wait(i - 1).back().why.find("takes too long") == std::string::npos; ++i) {
        ASSERT_LT(i, 10'000u);
        peers.ask(query());
    }
}

TEST_F(PeersTest, TriesAgainAtOnceWhenForgiven) {
    Peers peers(*identity_, counts_, port_, {.call = 50ms, .hold_off = 1h, .hold_off_max = 1h});
    peers.ask(query());
    answers_.wait(1);
    ASSERT_EQ(listen(listener_.get(), 1), 0);
    peers.forgive();
    peers.ask(query());
    EXPECT_NE(answers_.wait(2)[1].why.find("takes too long"), std::string::npos) << answers_.wait(2)[1].why;
}

TEST_F(PeersTest, WaitsForOneThatHangsAsLongAsForOneCall) {
    ASSERT_EQ(listen(listener_.get(), 1), 0);
    Peers peers(*identity_, counts_, port_, {.call = 100ms, .hold_off = 1h, .hold_off_max = 1h});
    for (int i = 0; i < 1000; ++i) peers.ask(query());
    for (const Reply &reply : answers_.wait(1000)) EXPECT_EQ(reply.status, FoundStatus::kNoDaemon);
}

TEST_F(PeersTest, LetsAUserAskSoMuch) {
    ASSERT_EQ(listen(listener_.get(), 1), 0);
    size_t busy = 0;
    {
        Peers peers(*identity_, counts_, port_, {.call = 2s, .hold_off = 1h, .hold_off_max = 1h});
        for (int i = 0; i < 3000; ++i) peers.ask(query(1000));
        for (const Reply &reply : answers_.wait(1500)) busy += reply.status == FoundStatus::kBusy ? 1 : 0;
        EXPECT_GE(busy, 1500u) << "at once";
        peers.ask(query(1001));
        EXPECT_GE(peers.count().asked, 1u);
    }
    EXPECT_EQ(answers_.wait(3001).size(), 3001u) << "each is answered, also at the end";
}

}  // namespace
}  // namespace sansock::control
