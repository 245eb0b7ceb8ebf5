#include "token.hpp"

#include <sys/random.h>

#include <sansock/sdk/cpp/failure.hpp>

namespace sansock::plugins {

Token new_token() {
    Token token;
    if (::getrandom(token.data(), token.size(), GRND_NONBLOCK) != static_cast<ssize_t>(token.size()))
        throw sdk::Failure::from_errno("getrandom");
    return token;
}

bool same(const Token &one, const Token &other) noexcept {
    std::uint8_t difference = 0;
    for (std::size_t at = 0; at < one.size(); ++at) difference |= one[at] ^ other[at];
    return difference == 0;
}

}  // namespace sansock::plugins
