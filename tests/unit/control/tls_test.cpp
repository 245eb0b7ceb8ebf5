#include "control/tls.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "scratch_identity.hpp"

namespace sansock::control {
namespace {

using namespace std::chrono_literals;
using What = Tls::Failure::What;
using Side = Tls::Outcome<std::unique_ptr<Tls>>;

class TlsTest : public Hosts {
protected:
    static Tls::Deadline soon() { return Tls::Clock::now() + 20s; }

    /// A handshake of both; each side as it sees it. The caller's first read tells what the other one thinks of its certificate.
    static std::pair<Side, Side> shake(const Identity::Credentials &asker, const Identity::Credentials &asked,
                                       const std::string &address = "10.0.0.2") {
        int ends[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        auto answering = std::async(std::launch::async, [&, fd = ends[1]] { return Tls::answer(UniqueFd(fd), asked, soon()); });
        auto called = Tls::call(UniqueFd(ends[0]), asker, *config::Address::parse(address), soon());
        if (called) static_cast<void>((*called)->write_frame("question", soon()));
        auto answered = answering.get();
        if (called && !answered) {
            const auto read = (*called)->read_frame(soon(), 20s);
            if (!read) called = std::unexpected(read.error());
        }
        return {std::move(called), std::move(answered)};
    }
    static void expect_refused(const std::pair<Side, Side> &sides, bool by_asker, const std::string &reason) {
        const Side &refusing = by_asker ? sides.first : sides.second, &refused = by_asker ? sides.second : sides.first;
        ASSERT_FALSE(refusing);
        EXPECT_EQ(refusing.error().what, What::kCertificate) << refusing.error().text;
        EXPECT_FALSE(refusing.error().ours);
        EXPECT_EQ(std::string(refusing.error().reason == nullptr ? "" : refusing.error().reason), reason) << refusing.error().text;
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().what, What::kCertificate) << refused.error().text;
        EXPECT_TRUE(refused.error().ours) << refused.error().text;
    }
    static constexpr int64_t kPast = 1'700'000'000;
};

TEST_F(TlsTest, TellsEachWhoTheOtherIs) {
    const auto [asker, asked] = shake(load(host("one", "10.0.0.1")), load(host("two", "10.0.0.2")));
    ASSERT_TRUE(asker) << asker.error().text;
    ASSERT_TRUE(asked) << asked.error().text;
    EXPECT_EQ((*asker)->peer().names.host, "two");
    EXPECT_EQ((*asked)->peer().names.host, "one");
    EXPECT_EQ(*(*asked)->read_frame(soon(), 20s), "question");
    const std::string large(Tls::kFrameMax, 'x');
    std::thread writing([&] { EXPECT_TRUE((*asked)->write_frame(large, soon())); });
    EXPECT_EQ(*(*asker)->read_frame(soon(), 20s), large);
    writing.join();
}

TEST_F(TlsTest, RefusesWhatHasEnded) {
    const auto late = load(host("late", "10.0.0.2", {.from = kPast, .until = kPast + 1})), fine = load(host("fine", "10.0.0.2"));
    expect_refused(shake(fine, late), true, "expired");
    expect_refused(shake(late, fine), false, "expired");
}

TEST_F(TlsTest, RefusesWhatHasNotBegun) {
    const int64_t now = time(nullptr);
    const auto early = load(host("early", "10.0.0.2", {.from = now + 86'400, .until = now + 2 * 86'400})),
               fine = load(host("fine", "10.0.0.2"));
    expect_refused(shake(fine, early), true, "early");
    expect_refused(shake(early, fine), false, "early");
}

TEST_F(TlsTest, RefusesOtherFleets) {
    ASSERT_TRUE(pki::Authority::make(authority("other"), "fleet", 100));
    const auto foreign = load(host("foreign", "10.0.0.2", {}, "other")), fine = load(host("fine", "10.0.0.2"));
    expect_refused(shake(fine, foreign), true, "foreign");
}

TEST_F(TlsTest, RefusesWhatIsRevoked) {
    const auto doomed = load(host("doomed", "10.0.0.2"));
    ASSERT_TRUE(*pki::Authority::open(authority())->revoke(serial_));
    const std::string directory = host("fine", "10.0.0.2");
    std::filesystem::copy(authority() + "/crl.pem", directory + "/crl.pem");
    const auto fine = load(directory);
    expect_refused(shake(fine, doomed), true, "revoked");
    expect_refused(shake(doomed, fine), false, "revoked");
    const auto [asker, asked] = shake(fine, fine);
    EXPECT_TRUE(asker && asked) << "what is not revoked";
}

TEST_F(TlsTest, RefusesAHostAtAnothersAddress) {
    expect_refused(shake(load(host("one", "10.0.0.1")), load(host("two", "10.0.0.2")), "10.0.0.3"), true, "address");
    expect_refused(shake(load(host("one", "10.0.0.1")), load(host("two", "10.0.0.2")), "fd00::2"), true, "address");
}

class TlsFrames : public TlsTest {
protected:
    TlsFrames() {
        auto sides = shake(load(host("one", "10.0.0.1")), load(host("two", "10.0.0.2")));
        EXPECT_TRUE(sides.first && sides.second);
        asker_ = std::move(*sides.first);
        asked_ = std::move(*sides.second);
        EXPECT_TRUE(asked_->read_frame(soon(), 20s));
    }
    std::unique_ptr<Tls> asker_, asked_;
};

TEST_F(TlsFrames, AreWaitedForUntilTheyHaveToBegin) {
    const auto none = asked_->read_frame(Tls::Clock::now() + 1ms, 20s);
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().what, What::kIdle);
    ASSERT_TRUE(asker_->write_frame("later", soon()));
    EXPECT_EQ(*asked_->read_frame(soon(), 20s), "later");
}

TEST_F(TlsFrames, OfASenderThatEndsAreEnded) {
    asker_.reset();
    const auto ended = asked_->read_frame(soon(), 20s);
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().what, What::kEnd);
}

TEST_F(TlsFrames, AreOfSomeLength) {
    ASSERT_TRUE(asker_->write_frame("", soon()));
    EXPECT_EQ(asked_->read_frame(soon(), 20s).error().what, What::kRubbish);
}

TEST_F(TlsFrames, AreNoLongerThanTheyMayBe) {
    std::thread writing([&] { static_cast<void>(asker_->write_frame(std::string(Tls::kFrameMax + 1, 'x'), soon())); });
    EXPECT_EQ(asked_->read_frame(soon(), 20s).error().what, What::kRubbish);
    asked_.reset();
    writing.join();
}

TEST_F(TlsTest, EndsAtItsDeadlineWhateverComes) {
    const auto own = load(host("one", "10.0.0.1"));
    for (const std::string &bytes :
         {std::string(), std::string("GET / HTTP/1.0\r\n\r\n"), std::string("\x16\x03\x01\x02\x00\x01\x00", 7)}) {
        int ends[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        const UniqueFd other(ends[0]);
        ASSERT_EQ(send(other.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
        const auto answered = Tls::answer(UniqueFd(ends[1]), own, Tls::Clock::now() + 20ms);
        ASSERT_FALSE(answered);
        EXPECT_EQ(answered.error().what, bytes.starts_with("GET") ? What::kRubbish : What::kLate) << answered.error().text;
    }
}

}  // namespace
}  // namespace sansock::control
