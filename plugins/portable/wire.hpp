// What two ends say to each other: the offer and its answer, which the host carries, the greetings on their connections, and what stands
// before each message.
//
// An endpoint has two connections, one for each direction. The end of a process closes its sockets, and a kernel that closes a socket in
// which something lies unread resets the connection and throws away what that had still to send. On a connection that only sends, nothing
// is ever unread: what the kernel has taken of it arrives, whoever is killed and whenever.
//
// The answering end opens both connections and greets with the token of the offer. The offering end greets back with the token of the
// answer, once it has that. So each knows that the other is who the host's channel has led it to, as far as the network in between can be
// trusted: as with TCP itself, whoever can read its packets can read and forge messages. Numbers are little-endian.
#pragma once
#include <sansock/sdk/endpoint.h>

#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

#include "common/address.hpp"
#include "common/token.hpp"

namespace sansock::portable {

using plugins::Address;
using plugins::addresses_of_host;
using plugins::family_of;
using plugins::names_a_host;
using plugins::new_token;
using plugins::parse_address;
using plugins::same;
using plugins::to_kernel;
using plugins::Token;

inline constexpr unsigned kWays = 2;
inline constexpr unsigned kFromAnswerer = 0;
inline constexpr unsigned kFromOfferer = 1;

inline constexpr std::size_t kAddressesMax = 12;
inline constexpr std::size_t kHeaderBytes = 4;  ///< The length of the message that follows.

struct Greeting {
    std::array<char, 8> magic;
    Token token;
    std::uint32_t way;
    std::uint32_t zero;
};
static_assert(std::has_unique_object_representations_v<Greeting> && sizeof(Greeting) == 32);
[[nodiscard]] Greeting greeting(const Token &token, unsigned way) noexcept;
/// The way that a greeting is for; nothing when it is none.
[[nodiscard]] std::optional<unsigned> way_of(const Greeting &greeting) noexcept;

/// An offer, or an answer, which has no port and no addresses.
struct Card {
    std::uint64_t message_bytes_max = 0;
    Token token{};    ///< Of the endpoint that speaks.
    Token answers{};  ///< In an answer: the offer's token.
    std::uint16_t port = 0;
    std::vector<Address> addresses;
};
void write_card(const Card &card, bool is_offer, sansock_offer &into) noexcept;
/// The peer's word: throws sdk::Failure with EPROTO when no correct peer says so.
[[nodiscard]] Card read_card(const sansock_offer &from, bool is_offer);

}  // namespace sansock::portable
