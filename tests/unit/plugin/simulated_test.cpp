// What is particular to the simulated provider: its settings, its model of a network, and what a hostile peer can
// write.
#include <gmock/gmock.h>
#include <sansock/sdk/ext/shared_memory.h>
#include <sansock/sdk/ext/statistics.h>
#include <sys/mman.h>

#include <thread>

#include "common/units.hpp"
#include "link_model.hpp"
#include "provider_conformance.hpp"
#include "ring.hpp"
#include "scratch.hpp"
#include "settings.hpp"

namespace sansock::simulated {
namespace {

using conformance::End;
using plugins::parse_bandwidth;
using plugins::parse_duration;
using plugins::parse_size;
using ::testing::HasSubstr;

std::string error_of(const char *yaml) {
    try {
        (void)parse_settings(yaml, "f.yaml:3");
        return "no error";
    } catch (const sdk::Failure &failure) {
        EXPECT_EQ(failure.status(), SANSOCK_EINVAL);
        return failure.what();
    }
}

TEST(SimulatedSettings, AreReadWhole) {
    EXPECT_FALSE(parse_settings("", "f").simulation);
    const Settings settings = parse_settings(
        "{options: {message_max: 64 KiB}, simulation: {latency: 20us, bandwidth: 8Gbit, jitter: 1500 us, "
        "completion_error_rate: 0.25, fail_after_messages: 9, unreceived: fail, seed: 7}}",
        "f");
    EXPECT_EQ(settings.message_bytes_max, 65536U);
    ASSERT_TRUE(settings.simulation);
    EXPECT_EQ(settings.simulation->latency_ns, 20'000U);
    EXPECT_EQ(settings.simulation->bandwidth_bytes, 1'000'000'000U);
    EXPECT_EQ(settings.simulation->jitter_ns, 1'500'000U);
    EXPECT_EQ(settings.simulation->completion_error_rate, 0.25);
    EXPECT_EQ(settings.simulation->fail_after_messages, 9U);
    EXPECT_TRUE(settings.simulation->unreceived_fails);
    EXPECT_EQ(settings.simulation->seed, 7U);
}

TEST(SimulatedSettings, TakeZeroWithoutAUnitForNone) {
    const Settings settings = parse_settings("{simulation: {latency: 0, jitter: 0, fail_after_messages: 0}}", "f");
    ASSERT_TRUE(settings.simulation);
    EXPECT_EQ(settings.simulation->latency_ns, 0U);
    EXPECT_EQ(settings.simulation->jitter_ns, 0U);
    EXPECT_EQ(settings.simulation->fail_after_messages, 0U);
}

TEST(SimulatedSettings, HaveTheUnitsOfTheFrameworksOwn) {
    EXPECT_EQ(parse_duration("20 us"), 20'000U);
    EXPECT_EQ(parse_duration("10s"), 10'000'000'000U);
    EXPECT_EQ(parse_bandwidth("8Kbit"), 1'000U);
    EXPECT_EQ(parse_bandwidth("10Gbit"), 1'250'000'000U);
    EXPECT_EQ(parse_size("65536"), 65'536U);
    EXPECT_EQ(parse_size("1GiB"), 1U << 30);
    for (const char *text : {"1.5us", "1", "05us", "-1us", "us", "1e3us", "+1us", "1 us ", "99999999999999999999ns", "99999999999s"})
        EXPECT_EQ(parse_duration(text), std::nullopt) << text;
    for (const char *text : {"64 KB", "64B", "0.5MiB", "064KiB", "", "99999999999999999GiB"})
        EXPECT_EQ(parse_size(text), std::nullopt) << text;
    EXPECT_EQ(parse_bandwidth("2.5Gbit"), std::nullopt);
}

TEST(SimulatedSettings, TakeAThresholdThatMeansNothingHere) { EXPECT_EQ(error_of("{rdma_threshold: 65536}"), "no error"); }

TEST(SimulatedSettings, FaultsSayWhatIsAllowed) {
    EXPECT_THAT(error_of("{simulation: {latency: 5 parsecs}}"),
                HasSubstr("f.yaml:3: simulation.latency is '5 parsecs'; write a duration of 0 to 10s"));
    EXPECT_THAT(error_of("{simulation: {latency: 11s}}"), HasSubstr("write a duration"));
    EXPECT_THAT(error_of("{simulation: {latency: -1us}}"), HasSubstr("write a duration"));
    EXPECT_THAT(error_of("{simulation: {latency: nans}}"), HasSubstr("write a duration"));
    EXPECT_THAT(error_of("{simulation: {latency: [1us]}}"), HasSubstr("must be a single value"));
    EXPECT_THAT(error_of("{simulation: {bandwidth: 1Kbit}}"), HasSubstr("simulation.bandwidth is '1Kbit'; write"));
    EXPECT_THAT(error_of("{simulation: {jitter: 1}}"), HasSubstr("simulation.jitter is '1'; write"));
    EXPECT_THAT(error_of("{simulation: {completion_error_rate: 1.5}}"), HasSubstr("write a number from 0 to 1"));
    EXPECT_THAT(error_of("{simulation: {completion_error_rate: .nan}}"), HasSubstr("write a number from 0 to 1"));
    EXPECT_THAT(error_of("{simulation: {fail_after_messages: -1}}"), HasSubstr("write a number of messages, or 0: never"));
    EXPECT_THAT(error_of("{simulation: {seed: -1}}"), HasSubstr("simulation.seed is '-1'"));
    EXPECT_THAT(error_of("{simulation: {unreceived: maybe}}"), HasSubstr("write wait or fail"));
    EXPECT_THAT(error_of("{simulation: {lag: 1us}}"), HasSubstr("simulation.lag is not known; known are"));
    EXPECT_THAT(error_of("{simulation: {seed: 1, seed: 2}}"), HasSubstr("simulation.seed is given twice"));
    EXPECT_THAT(error_of("{options: {message_max: 2 KiB}}"), HasSubstr("options.message_max is '2 KiB'; write"));
    EXPECT_THAT(error_of("{options: {message_max: 1 GiB}}"), HasSubstr("options.message_max is '1 GiB'; write"));
    EXPECT_THAT(error_of("{option: {}}"), HasSubstr("option is not known; known are options, rdma_threshold, simulation"));
    EXPECT_THAT(error_of("simulation: 20us"), HasSubstr("must be a mapping"));
    EXPECT_THAT(error_of("{"), HasSubstr("the block is not YAML"));
    EXPECT_EQ(error_of("\nsimulation:\n  seed: -1\n  jitter: x\n").substr(0, 45), "f.yaml:6: simulation.jitter is 'x'; write a d");
    EXPECT_THAT(error_of("\nsimulation:\n  seed: -1\n  jitter: x\n"), HasSubstr("\nf.yaml:5: simulation.seed is '-1'; write"));
    std::string many = "{";
    for (int i = 0; i < 50; ++i) many += "unknown" + std::to_string(i) + ": 1, ";
    EXPECT_THAT(error_of((many + "}").c_str()), ::testing::ContainsRegex("\nand [0-9]+ more$"));
}

TEST(LinkModel, IsRepeatableBySeedAndDiffersBetweenEndpoints) {
    const auto fates = [](std::uint64_t seed, std::uint64_t endpoint) {
        LinkModel link({.latency_ns = 1000, .jitter_ns = 1'000'000, .completion_error_rate = 0.5, .seed = seed}, endpoint);
        std::vector<std::uint64_t> drawn;
        for (int sends = 0; sends < 50; ++sends) {
            const auto fate = link.send(100, 0);
            drawn.push_back(fate.arrival_ns * 2 + fate.send_fails);
        }
        return drawn;
    };
    EXPECT_EQ(fates(1, 1), fates(1, 1));
    EXPECT_NE(fates(1, 1), fates(2, 1));
    EXPECT_NE(fates(1, 1), fates(1, 2));
}

TEST(LinkModel, AddsLatencyTransferAndOrder) {
    LinkModel link({.latency_ns = 500, .bandwidth_bytes = 1'000'000'000}, 1);
    EXPECT_EQ(link.send(1000, 10'000).arrival_ns, 11'500U) << "1000 bytes take 1 us at 1 GB/s";
    EXPECT_EQ(link.send(1000, 10'000).arrival_ns, 12'500U) << "the line is busy with the first";
    EXPECT_EQ(link.send(1000, 50'000).arrival_ns, 51'500U) << "and free again later";
    LinkModel jittery({.jitter_ns = 1'000'000}, 1);
    std::uint64_t last = 0;
    for (int sends = 0; sends < 1000; ++sends) {
        const std::uint64_t arrival = jittery.send(0, 0).arrival_ns;
        EXPECT_GE(arrival, last);
        last = arrival;
    }
}

TEST(LinkModel, FailsAsOftenAsAsked) {
    LinkModel link({.completion_error_rate = 0.1}, 1);
    int failed = 0;
    for (int sends = 0; sends < 10'000; ++sends) failed += link.send(0, 0).send_fails;
    EXPECT_NEAR(failed, 1000, 150);
    LinkModel third({.fail_after_messages = 3}, 1);
    EXPECT_FALSE(third.send(0, 0).endpoint_fails);
    EXPECT_FALSE(third.send(0, 0).endpoint_fails);
    EXPECT_TRUE(third.send(0, 0).endpoint_fails);
}

/// The memory of a peer, writable for the test as it is for the peer.
struct HostilePeer {
    static constexpr std::uint64_t kMessageMax = 4096;
    OwnMemory theirs{kMessageMax};
    PeerMemory seen{theirs.fd().get(), kMessageMax};
    OwnMemory ours{kMessageMax};
};

TEST(HostileMemory, OfTheWrongShapeIsRefused) {
    EXPECT_NO_THROW(PeerMemory(OwnMemory(4096).fd().get(), 4096));
    EXPECT_THROW(PeerMemory(OwnMemory(4096).fd().get(), 8192), sdk::Failure) << "shorter than it says";
    const UniqueFd unsealed(::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::fallocate(unsealed.get(), 0, 0, static_cast<off_t>(file_bytes(4096))), 0);
    EXPECT_THROW(PeerMemory(unsealed.get(), 4096), sdk::Failure);
    const UniqueFd sparse(::memfd_create("sparse", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    ASSERT_EQ(::ftruncate(sparse.get(), static_cast<off_t>(file_bytes(4096))), 0);
    ASSERT_EQ(::fcntl(sparse.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE), 0);
    EXPECT_THROW(PeerMemory(sparse.get(), 4096), sdk::Failure) << "its pages may be missing when they are needed";
}

TEST(HostileMemory, CannotBeWrittenByThePeer) {
    OwnMemory own(4096);
    const int fd = own.fd().get();
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_LT(::pwrite(fd, "x", 1, 0), 0);
    EXPECT_LT(::ftruncate(fd, 0), 0);
    EXPECT_LT(::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
}

TEST(HostileMemory, WordsOutOfRangeAreLies) {
    HostilePeer peer;
    RingReceiver receiver;
    receiver.open(peer.ours, peer.seen, HostilePeer::kMessageMax);
    RingReceiver::Message message{};
    Slot &slot = peer.theirs.slots()[0];
    EXPECT_EQ(receiver.peek(message), RingResult::nothing);
    slot.sequence = 2;
    EXPECT_EQ(receiver.peek(message), RingResult::peer_lied);
    slot.sequence = 1;
    slot.length = HostilePeer::kMessageMax + 1;
    EXPECT_EQ(receiver.peek(message), RingResult::peer_lied);
    slot.length = 200;
    slot.offset = kPayloadMessages * HostilePeer::kMessageMax - 199;
    EXPECT_EQ(receiver.peek(message), RingResult::peer_lied);
    slot.offset = UINT32_MAX;
    EXPECT_EQ(receiver.peek(message), RingResult::peer_lied);
    slot.offset = kPayloadMessages * HostilePeer::kMessageMax - 200;
    EXPECT_EQ(receiver.peek(message), RingResult::done);
    slot.length = UINT32_MAX;
    EXPECT_EQ(receiver.peek(message), RingResult::done);
    EXPECT_EQ(message.length, 200U) << "what was checked is what is used";

    RingSender sender;
    sender.open(peer.ours, peer.seen, HostilePeer::kMessageMax);
    EXPECT_EQ(sender.push(nullptr, 0, 0, 0), RingResult::done);
    peer.theirs.control().consumed = 2;
    EXPECT_EQ(sender.push(nullptr, 0, 0, 0), RingResult::peer_lied) << "more than was sent";
    peer.theirs.control().consumed = 1;
    EXPECT_EQ(sender.push(nullptr, 0, 0, 0), RingResult::done);
    peer.theirs.control().consumed = 0;
    EXPECT_EQ(sender.push(nullptr, 0, 0, 0), RingResult::peer_lied) << "less than before";
}

TEST(HostileMemory, RewrittenAtRandomWhileInUseIsNeverBelievedBeyondItsBounds) {
    HostilePeer peer;
    // Few slots and small numbers, so that the words are plausible often enough to be used.
    std::jthread scribbler([&](const std::stop_token &stop) {
        std::mt19937 dice(conformance::seed());
        while (!stop.stop_requested()) {
            Slot &slot = peer.theirs.slots()[dice() % 3];
            slot.length = dice() % 2 == 0 ? dice() : dice() % 8192;
            slot.offset = dice() % 2 == 0 ? dice() : dice() % 32768;
            slot.sequence = dice() % 4;
            peer.theirs.control().consumed = dice() % 3;
        }
    });
    std::uint64_t received = 0, lies = 0;
    std::vector<std::byte> into(HostilePeer::kMessageMax);
    std::vector<std::byte> from(HostilePeer::kMessageMax);
    const sansock_slice slice{from.data(), from.size(), nullptr};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (received < 10'000 || lies < 10'000) {
        ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "seed " << conformance::seed();
        RingReceiver receiver;
        RingSender sender;
        receiver.open(peer.ours, peer.seen, HostilePeer::kMessageMax);
        sender.open(peer.ours, peer.seen, HostilePeer::kMessageMax);
        RingReceiver::Message message{};
        for (int step = 0; step < 100; ++step) {
            lies += sender.push(&slice, 1, from.size(), 0) == RingResult::peer_lied;
            const RingResult result = receiver.peek(message);
            lies += result == RingResult::peer_lied;
            if (result != RingResult::done) continue;
            ASSERT_LE(message.length, into.size());
            std::memcpy(into.data(), message.bytes, message.length);  // Outside the mapping it would crash.
            receiver.pop();
            ++received;
        }
    }
}

class SimulatedProvider : public ::testing::Test {
protected:
    plugin::Provider open(const std::string &yaml) { return host_.open("simulated", plugin::kGuid, yaml, "test:1").value(); }
    static void connect(End &a, End &b) {
        ASSERT_TRUE(a.endpoint->take_answer(b.endpoint->accept_offer(a.endpoint->make_offer().value()).value()));
        a.poll();
        b.poll();
    }

private:
    plugin::Host host_{plugin::Catalog::scan(std::array{std::filesystem::path(SANSOCK_PLUGINS)})};
};

/// An end that wants the host's memory to be its path.
struct SharingEnd {
    explicit SharingEnd(plugin::Provider &provider)
        : queue(provider.create_completion_queue(2).value()),
          endpoint(provider.create_endpoint(queue, {.send_depth = 1, .receive_depth = 1, .wants_shared_memory = true}).value()) {}
    plugin::CompletionQueue queue;
    plugin::Endpoint endpoint;
};

TEST_F(SimulatedProvider, SharesMemoryWithoutDescriptorsWhenBothEndsWantTo) {
    auto provider = open("");
    SharingEnd a(provider), b(provider);
    const auto offer = a.endpoint.make_offer().value();
    EXPECT_TRUE(offer.fds.empty());
    const auto answer = b.endpoint.accept_offer(offer).value();
    ASSERT_TRUE(a.endpoint.take_answer(answer));
    EXPECT_EQ(a.endpoint.state(), SANSOCK_ENDPOINT_ESTABLISHED);
    EXPECT_TRUE(a.endpoint.shares_memory());
    EXPECT_TRUE(b.endpoint.shares_memory());
    EXPECT_EQ(a.endpoint.post_send({}, 0), SANSOCK_ENOTSUP);
}

TEST_F(SimulatedProvider, CarriesMessagesWhenOneEndWantsNoSharedMemory) {
    auto provider = open("");
    SharingEnd wants(provider);
    End wants_not(provider);
    ASSERT_TRUE(wants_not.endpoint->take_answer(wants.endpoint.accept_offer(wants_not.endpoint->make_offer().value()).value()));
    EXPECT_EQ(wants.endpoint.post_send({}, 0), SANSOCK_OK);
    SharingEnd offers(provider);
    End refuses(provider);
    EXPECT_EQ(refuses.endpoint->accept_offer(offers.endpoint.make_offer().value()).error().code, ENOTSUP);
}

TEST_F(SimulatedProvider, SharesNoMemoryWhenEitherEndSimulates) {
    auto fast = open("");
    auto simulating = open("simulation: {}");
    EXPECT_EQ(simulating.extension<sansock_shared_memory_ops>(SANSOCK_EXT_SHARED_MEMORY), nullptr);
    SharingEnd a(fast), b(simulating);
    EXPECT_EQ(b.endpoint.accept_offer(a.endpoint.make_offer().value()).error().code, ENOTSUP);
    SharingEnd c(fast), d(simulating);
    ASSERT_TRUE(d.endpoint.take_answer(c.endpoint.accept_offer(d.endpoint.make_offer().value()).value()));
    EXPECT_FALSE(c.endpoint.shares_memory());
    EXPECT_FALSE(d.endpoint.shares_memory());
    EXPECT_EQ(c.endpoint.post_send({}, 0), SANSOCK_OK);
}

TEST_F(SimulatedProvider, MessagesArriveNoEarlierThanTheLatency) {
    auto provider = open("simulation: {latency: 20ms}");
    End a(provider), b(provider);
    connect(a, b);
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    const auto start = std::chrono::steady_clock::now();
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    while (b.count(SANSOCK_COMPLETION_RECEIVE) == 0) b.poll();
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(20));
}

TEST_F(SimulatedProvider, FailsAfterSoManyMessagesAndThePeerHasThemAll) {
    auto provider = open("simulation: {fail_after_messages: 3}");
    End a(provider), b(provider);
    connect(a, b);
    for (std::uint64_t token = 0; token < 5; ++token) ASSERT_EQ(b.receive(0, 64, token), SANSOCK_OK);
    for (std::uint64_t token = 0; token < 5; ++token) ASSERT_EQ(a.send(0, 64, token), SANSOCK_OK);
    while (a.failure() == SANSOCK_OK || b.failure() == SANSOCK_OK) {
        a.poll();
        b.poll();
    }
    EXPECT_EQ(a.failure(), SANSOCK_EIO);
    EXPECT_EQ(a.count(SANSOCK_COMPLETION_SEND, SANSOCK_OK), 3U);
    EXPECT_EQ(a.count(SANSOCK_COMPLETION_SEND, SANSOCK_ECANCELED), 2U);
    EXPECT_EQ(b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK), 3U);
    EXPECT_EQ(b.failure(), SANSOCK_ECONNRESET);
}

TEST_F(SimulatedProvider, FailedSendsAreNotDelivered) {
    auto provider = open("simulation: {completion_error_rate: 1}");
    End a(provider), b(provider);
    connect(a, b);
    ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
    ASSERT_EQ(a.send(0, 64), SANSOCK_OK);
    while (a.failure() == SANSOCK_OK || b.failure() == SANSOCK_OK) {
        a.poll();
        b.poll();
    }
    EXPECT_EQ(a.count(SANSOCK_COMPLETION_SEND, SANSOCK_EIO), 1U);
    EXPECT_EQ(b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK), 0U);
}

TEST_F(SimulatedProvider, CountsWhatItDoesAndWakesNobodyWhoIsAwake) {
    auto provider = open("");
    End a(provider), b(provider);
    connect(a, b);
    for (int round = 0; round < 100; ++round) {
        ASSERT_EQ(b.receive(0, 64), SANSOCK_OK);
        ASSERT_EQ(a.send(0, 50), SANSOCK_OK);
        b.poll();
        a.poll();
    }
    const auto *ops = provider.extension<sansock_statistics_ops>(SANSOCK_EXT_STATISTICS);
    sansock_statistics sent{.size = sizeof sent}, received{.size = sizeof received};
    ops->get(a.endpoint->get(), &sent);
    ops->get(b.endpoint->get(), &received);
    EXPECT_EQ(sent.messages_sent, 100U);
    EXPECT_EQ(sent.bytes_sent, 5000U);
    EXPECT_EQ(received.messages_received, 100U);
    EXPECT_EQ(received.bytes_received, 5000U);
    EXPECT_EQ(sent.notifications_sent + received.notifications_sent, 0U);
}

TEST_F(SimulatedProvider, SendsWaitForRoomAndAreThenSent) {
    auto provider = open("options: {message_max: 8 KiB}");
    End a(provider, 100, 1), b(provider, 1, 100);
    connect(a, b);
    for (std::uint64_t token = 0; token < 100; ++token) ASSERT_EQ(a.send(0, 8192, token), SANSOCK_OK);
    a.poll();
    EXPECT_LT(a.count(SANSOCK_COMPLETION_SEND), 100U);
    ASSERT_TRUE(a.queue.arm());
    a.poll();
    for (std::uint64_t token = 0; token < 100; ++token) {
        ASSERT_EQ(b.receive(0, 8192, token), SANSOCK_OK);
        b.poll();
        a.poll();
    }
    EXPECT_EQ(a.count(SANSOCK_COMPLETION_SEND, SANSOCK_OK), 100U);
    EXPECT_EQ(b.count(SANSOCK_COMPLETION_RECEIVE, SANSOCK_OK), 100U);
}

}  // namespace
}  // namespace sansock::simulated
