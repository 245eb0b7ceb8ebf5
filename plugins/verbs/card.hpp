// What two ends say to each other: the offer and its answer, which the host carries, and the greetings, which their connection managers
// carry as private data.
//
// The answering end asks for the connection and greets with the offer's token. The offering end accepts it when it comes from the address
// that the answer names, and greets back with the answer's token. So each knows that the other is who the host's channel has led it to, as
// far as the network in between can be trusted: as with TCP itself, whoever can read its packets can read and forge messages. Numbers are
// little-endian.
#pragma once
#include <sansock/sdk/endpoint.h>

#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>

#include "common/address.hpp"
#include "common/token.hpp"

namespace sansock::verbs {

struct Card {
    std::uint64_t message_bytes_max = 0;
    plugins::Token token{};    ///< Of the endpoint that speaks.
    plugins::Token answers{};  ///< In an answer: the offer's token.
    plugins::Address address{};
    std::uint16_t port = 0;  ///< Where the offering end listens; none in an answer.
};
/// `transport` as Transport::letter.
void write_card(const Card &card, char transport, bool is_offer, sansock_offer &into) noexcept;
/// The peer's word: throws sdk::Failure with EPROTO when no correct peer says so.
[[nodiscard]] Card read_card(const sansock_offer &from, char transport, bool is_offer);

/// Private data. A request for a connection over RoCE has room for 56 bytes.
struct Greeting {
    std::array<char, 8> magic;
    plugins::Token token;
};
static_assert(std::has_unique_object_representations_v<Greeting> && sizeof(Greeting) == 24);
[[nodiscard]] Greeting greeting(const plugins::Token &token) noexcept;
/// The token of what may be a greeting, behind which transports put zeros.
[[nodiscard]] std::optional<plugins::Token> read_greeting(const void *data, std::size_t length) noexcept;

}  // namespace sansock::verbs
