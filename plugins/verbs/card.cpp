#include "card.hpp"

#include <endian.h>

#include <cstring>
#include <sansock/sdk/cpp/failure.hpp>

#include "settings.hpp"

namespace sansock::verbs {
namespace {

using plugins::Address;
using plugins::Token;
using sdk::Failure;

constexpr std::array<char, 7> kCardMagic{'s', 'a', 'n', 'r', 'd', 'm', 'a'};
constexpr std::array<char, 8> kGreetingMagic{'s', 'a', 'n', 'r', 'd', 'm', 'g', '1'};
constexpr std::uint32_t kOfferKind = 1;
constexpr std::uint32_t kAnswerKind = 2;

/// A card as it travels.
struct Written {
    std::array<char, 7> magic;
    char transport;
    std::uint32_t kind;
    std::uint32_t message_bytes_max;
    Token token;
    Token answers;
    Address address;
    std::uint16_t port;
    std::array<std::uint8_t, 6> zero;
};
static_assert(std::has_unique_object_representations_v<Written>, "an offer must not carry what padding happens to hold");
static_assert(sizeof(Written) <= SANSOCK_OFFER_BYTES_MAX);

}  // namespace

void write_card(const Card &card, char transport, bool is_offer, sansock_offer &into) noexcept {
    const Written written{kCardMagic,
                          transport,
                          htole32(is_offer ? kOfferKind : kAnswerKind),
                          htole32(static_cast<std::uint32_t>(card.message_bytes_max)),
                          card.token,
                          card.answers,
                          card.address,
                          htole16(card.port),
                          {}};
    std::memcpy(into.bytes, &written, sizeof written);
    into.byte_count = sizeof written;
    into.fd_count = 0;
}

Card read_card(const sansock_offer &from, char transport, bool is_offer) {
    Written written;
    if (from.fd_count != 0 || from.byte_count != sizeof written) {
        throw Failure(SANSOCK_EPROTO, "the peer's message is not one of an RDMA provider");
    }
    std::memcpy(&written, from.bytes, sizeof written);
    if (written.magic != kCardMagic || le32toh(written.kind) != (is_offer ? kOfferKind : kAnswerKind)) {
        throw Failure(SANSOCK_EPROTO, "the peer's message is not one of an RDMA provider");
    }
    if (written.transport != transport) throw Failure(SANSOCK_ENOTSUP, "the peer's provider has another transport");
    const Card card{.message_bytes_max = le32toh(written.message_bytes_max),
                    .token = written.token,
                    .answers = written.answers,
                    .address = written.address,
                    .port = le16toh(written.port)};
    const bool has_place = is_offer ? card.port != 0 && card.answers == Token{} : card.port == 0;
    const bool bytes_fit = card.message_bytes_max >= kMessageBytesMin && card.message_bytes_max <= kMessageBytesMax;
    if (!has_place || !bytes_fit || written.zero != decltype(written.zero){} || !plugins::names_a_host(card.address)) {
        throw Failure(SANSOCK_EPROTO, "the peer's message holds what no correct peer says");
    }
    return card;
}

Greeting greeting(const Token &token) noexcept { return {kGreetingMagic, token}; }

std::optional<Token> read_greeting(const void *data, std::size_t length) noexcept {
    Greeting greeting;
    if (data == nullptr || length < sizeof greeting) return std::nullopt;
    std::memcpy(&greeting, data, sizeof greeting);
    if (greeting.magic != kGreetingMagic) return std::nullopt;
    return greeting.token;
}

}  // namespace sansock::verbs
