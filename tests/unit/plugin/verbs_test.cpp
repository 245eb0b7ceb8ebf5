// What RDMA providers read: what an operator writes, and what a peer says. What they do needs a device (tests/guest).
#include <gmock/gmock.h>

#include <cstring>
#include <sansock/sdk/cpp/failure.hpp>

#include "iwarp/transport.hpp"
#include "roce/transport.hpp"
#include "verbs/card.hpp"
#include "verbs/settings.hpp"

namespace sansock::verbs {
namespace {

using plugins::parse_address;
using ::testing::HasSubstr;

template <class Transport>
std::string error_of(const std::string &yaml) {
    try {
        Transport transport;
        (void)parse_settings(yaml.c_str(), "f.yaml:3", transport);
        return "no error";
    } catch (const sdk::Failure &failure) {
        EXPECT_EQ(failure.status(), SANSOCK_EINVAL);
        return failure.what();
    }
}

TEST(VerbsSettings, AreReadWithTheirUnits) {
    roce::Transport transport;
    const Settings settings = parse_settings(
        "options: {device: mlx5_0, address: 192.0.2.7, message_max: 64 KiB, connect_timeout: 250ms, traffic_class: 106,"
        " path_mtu: 1024, retry_timeout: 67ms, retry_count: 3, receiver_retry_count: 0}",
        "f", transport);
    EXPECT_EQ(settings.device, "mlx5_0");
    EXPECT_EQ(settings.address, parse_address("192.0.2.7"));
    EXPECT_EQ(settings.message_bytes_max, 64U * 1024);
    EXPECT_EQ(settings.connect_timeout_ns, 250'000'000U);
    EXPECT_EQ(settings.traffic_class, 106);
    EXPECT_EQ(transport.options().path_mtu, 1024U);
    EXPECT_EQ(transport.options().retry_timeout_ns, 67'000'000U);
    EXPECT_EQ(transport.options().retry_count, 3U);
    EXPECT_EQ(transport.options().receiver_retry_count, 0U);
}

TEST(VerbsSettings, WrongOnesAreRefusedWithWhatIsAllowed) {
    EXPECT_THAT(error_of<roce::Transport>("options: {address: 0.0.0.0}"), HasSubstr("write an address of this host"));
    EXPECT_THAT(error_of<roce::Transport>("options: {message_max: 1 KiB}"), HasSubstr("4 KiB to 1 MiB"));
    EXPECT_THAT(error_of<roce::Transport>("options: {traffic_class: 256}"), HasSubstr("a number of 0 to 255"));
    EXPECT_THAT(error_of<roce::Transport>("options: {path_mtu: 1500}"), HasSubstr("256, 512, 1024, 2048 or 4096"));
    EXPECT_THAT(error_of<roce::Transport>("options: {path_mtu: 8192}"), HasSubstr("256, 512, 1024, 2048 or 4096"));
    EXPECT_THAT(error_of<roce::Transport>("options: {retry_timeout: 1ms}"), HasSubstr("10ms to 10s"));
    EXPECT_THAT(error_of<roce::Transport>("options: {retry_count: 8}"), HasSubstr("0 to 7"));
    EXPECT_THAT(error_of<iwarp::Transport>("options: {retry_count: 7}"), HasSubstr("f.yaml:3: options.retry_count is not known"));
    EXPECT_THAT(error_of<iwarp::Transport>("options: {connect_timeout: 0}"), HasSubstr("10ms to 60s"));
}

TEST(VerbsSettings, TimesAreWhatTheDeviceCanTell) {
    // 4.096 us times two to the power of it, and never less than was asked for.
    for (const std::uint64_t timeout_ns : {10'000'000UL, 67'000'000UL, 67'108'864UL, 67'108'865UL, 250'000'000UL, 10'000'000'000UL}) {
        const std::uint64_t told = std::uint64_t{4096} << roce::exponent_of(timeout_ns);
        EXPECT_GE(told, timeout_ns);
        EXPECT_LT(told, 2 * timeout_ns);
    }
    EXPECT_EQ(roce::exponent_of(67'108'864), 14);
    EXPECT_EQ(roce::exponent_of(0), 1);
    EXPECT_EQ(roce::exponent_of(UINT64_MAX / 2), 31);
}

struct Cards : ::testing::Test {
    Cards() {
        card.message_bytes_max = 65536;
        card.token = plugins::new_token();
        card.address = *parse_address("192.0.2.7");
        card.port = 7000;
    }
    std::int32_t status_of(const sansock_offer &offer, char transport = 'r', bool is_offer = true) {
        try {
            (void)read_card(offer, transport, is_offer);
            return SANSOCK_OK;
        } catch (const sdk::Failure &failure) {
            return failure.status();
        }
    }
    Card card;
};

TEST_F(Cards, AreReadAsTheyWereWritten) {
    sansock_offer offer{};
    write_card(card, 'r', true, offer);
    const Card read = read_card(offer, 'r', true);
    EXPECT_EQ(read.message_bytes_max, card.message_bytes_max);
    EXPECT_EQ(read.token, card.token);
    EXPECT_EQ(read.address, card.address);
    EXPECT_EQ(read.port, card.port);
    card.port = 0;
    card.answers = plugins::new_token();
    write_card(card, 'i', false, offer);
    EXPECT_EQ(read_card(offer, 'i', false).answers, card.answers);
}

TEST_F(Cards, OfNoCorrectPeerAreRefused) {
    sansock_offer good{};
    write_card(card, 'r', true, good);
    EXPECT_EQ(status_of(good), SANSOCK_OK);
    EXPECT_EQ(status_of(good, 'i'), SANSOCK_ENOTSUP);
    EXPECT_EQ(status_of(good, 'r', false), SANSOCK_EPROTO);
    for (const std::uint32_t size : {0U, 1U, good.byte_count - 1, good.byte_count + 1, std::uint32_t{SANSOCK_OFFER_BYTES_MAX}}) {
        sansock_offer cut = good;
        cut.byte_count = size;
        EXPECT_EQ(status_of(cut), SANSOCK_EPROTO) << size;
    }
    sansock_offer with_descriptor = good;
    with_descriptor.fd_count = 1;
    EXPECT_EQ(status_of(with_descriptor), SANSOCK_EPROTO);
    const auto refused = [&](auto &&change) {
        Card wrong = card;
        change(wrong);
        sansock_offer offer{};
        write_card(wrong, 'r', true, offer);
        return status_of(offer) == SANSOCK_EPROTO;
    };
    EXPECT_TRUE(refused([](Card &wrong) { wrong.port = 0; }));
    EXPECT_TRUE(refused([](Card &wrong) { wrong.answers = plugins::new_token(); }));
    EXPECT_TRUE(refused([](Card &wrong) { wrong.message_bytes_max = 1; }));
    EXPECT_TRUE(refused([](Card &wrong) { wrong.message_bytes_max = UINT32_MAX; }));
    EXPECT_TRUE(refused([](Card &wrong) { wrong.address = *parse_address("224.0.0.1"); }));
    EXPECT_TRUE(refused([](Card &wrong) { wrong.address = {}; }));
}

TEST_F(Cards, GreetingsMayHaveZerosBehindThem) {
    std::array<std::byte, 56> data{};
    const Greeting said = greeting(card.token);
    std::memcpy(data.data(), &said, sizeof said);
    EXPECT_EQ(read_greeting(data.data(), data.size()), card.token);
    EXPECT_EQ(read_greeting(data.data(), sizeof said), card.token);
    EXPECT_FALSE(read_greeting(data.data(), sizeof said - 1));
    EXPECT_FALSE(read_greeting(nullptr, 0));
    data[0] = std::byte{0};
    EXPECT_FALSE(read_greeting(data.data(), data.size()));
}

}  // namespace
}  // namespace sansock::verbs
