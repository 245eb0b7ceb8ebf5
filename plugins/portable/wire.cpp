#include "wire.hpp"

#include <endian.h>

#include <algorithm>
#include <cstring>
#include <sansock/sdk/cpp/failure.hpp>

#include "settings.hpp"

namespace sansock::portable {
namespace {

using sdk::Failure;

constexpr std::array<char, 8> kCardMagic{'s', 'a', 'n', 't', 'c', 'p', 'c', '1'};
constexpr std::array<char, 8> kGreetingMagic{'s', 'a', 'n', 't', 'c', 'p', 'g', '1'};
constexpr std::uint32_t kOfferKind = 1;
constexpr std::uint32_t kAnswerKind = 2;

/// A card as it travels; behind it stand the addresses.
struct Written {
    std::array<char, 8> magic;
    std::uint32_t kind;
    std::uint32_t message_bytes_max;
    Token token;
    Token answers;
    std::uint16_t port;
    std::uint16_t address_count;
    std::uint32_t zero;
};
static_assert(std::has_unique_object_representations_v<Written>, "an offer must not carry what padding happens to hold");
static_assert(sizeof(Written) + kAddressesMax * sizeof(Address) <= SANSOCK_OFFER_BYTES_MAX);

}  // namespace

Greeting greeting(const Token &token, unsigned way) noexcept { return {kGreetingMagic, token, htole32(way), 0}; }

std::optional<unsigned> way_of(const Greeting &greeting) noexcept {
    const std::uint32_t way = le32toh(greeting.way);
    if (greeting.magic != kGreetingMagic || way >= kWays || greeting.zero != 0) return std::nullopt;
    return way;
}

void write_card(const Card &card, bool is_offer, sansock_offer &into) noexcept {
    const Written written{kCardMagic,
                          htole32(is_offer ? kOfferKind : kAnswerKind),
                          htole32(static_cast<std::uint32_t>(card.message_bytes_max)),
                          card.token,
                          card.answers,
                          htole16(card.port),
                          htole16(static_cast<std::uint16_t>(card.addresses.size())),
                          0};
    std::memcpy(into.bytes, &written, sizeof written);
    into.byte_count = sizeof written;
    for (const Address &address : card.addresses) {
        std::memcpy(into.bytes + into.byte_count, address.data(), address.size());
        into.byte_count += static_cast<std::uint32_t>(address.size());
    }
    into.fd_count = 0;
}

Card read_card(const sansock_offer &from, bool is_offer) {
    Written written;
    if (from.fd_count != 0 || from.byte_count < sizeof written)
        throw Failure(SANSOCK_EPROTO, "the peer's message is not one of the portable provider");
    std::memcpy(&written, from.bytes, sizeof written);
    if (written.magic != kCardMagic || le32toh(written.kind) != (is_offer ? kOfferKind : kAnswerKind)) {
        throw Failure(SANSOCK_EPROTO, "the peer's message is not one of the portable provider");
    }
    Card card{.message_bytes_max = le32toh(written.message_bytes_max),
              .token = written.token,
              .answers = written.answers,
              .port = le16toh(written.port),
              .addresses = {}};
    const std::size_t count = le16toh(written.address_count);
    const bool has_place = card.port != 0 && count >= 1 && count <= kAddressesMax;
    const bool has_none = card.port == 0 && count == 0;
    const bool bytes_fit = card.message_bytes_max >= kMessageBytesMin && card.message_bytes_max <= kMessageBytesMax;
    const bool is_sound = (is_offer ? has_place && card.answers == Token{} : has_none) && bytes_fit && written.zero == 0;
    if (!is_sound || from.byte_count != sizeof written + count * sizeof(Address)) {
        throw Failure(SANSOCK_EPROTO, "the peer's message holds what no correct peer says");
    }
    card.addresses.resize(count);
    if (count > 0) std::memcpy(card.addresses.data(), from.bytes + sizeof written, count * sizeof(Address));
    if (!std::ranges::all_of(card.addresses, names_a_host)) throw Failure(SANSOCK_EPROTO, "the peer offers what is no host's address");
    return card;
}

}  // namespace sansock::portable
