// Whoever may turn up at the other end of a wire, for the tests of the portable provider: by plain sockets, with the provider's own words.
#pragma once
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <sansock/sdk/cpp/failure.hpp>
#include <stdexcept>

#include "plugin/provider.hpp"
#include "provider_conformance.hpp"
#include "portable/wire.hpp"

namespace sansock::portable {

inline Card card_of(const plugin::Offer &from, bool is_offer) {
    sansock_offer raw{};
    raw.size = sizeof raw;
    raw.byte_count = static_cast<std::uint32_t>(from.bytes.size());
    std::memcpy(raw.bytes, from.bytes.data(), from.bytes.size());
    return read_card(raw, is_offer);
}

inline plugin::Offer offer_of(const Card &card, bool is_offer) {
    sansock_offer raw{};
    write_card(card, is_offer, raw);
    return {.bytes = {raw.bytes, raw.bytes + raw.byte_count}, .fds = {}};
}

class Stranger {
public:
    explicit Stranger(UniqueFd fd) : fd_(std::move(fd)) {}
    /// Calls 127.0.0.1.
    explicit Stranger(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        const sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        if (::connect(fd_.get(), reinterpret_cast<const sockaddr *>(&to), sizeof to) != 0) throw std::runtime_error("connect");
    }

    void say(const void *bytes, std::size_t count) {
        if (::send(fd_.get(), bytes, count, MSG_NOSIGNAL) != static_cast<ssize_t>(count)) throw std::runtime_error("send");
    }
    void greet(const Token &token, unsigned way) {
        const Greeting words = greeting(token, way);
        say(&words, sizeof words);
    }
    void say_length(std::uint32_t length) { say(&length, sizeof length); }
    /// What has been said to this end, if it is that much.
    [[nodiscard]] std::optional<Greeting> heard() {
        Greeting words;
        if (::recv(fd_.get(), &words, sizeof words, MSG_DONTWAIT) != static_cast<ssize_t>(sizeof words)) return std::nullopt;
        return words;
    }
    [[nodiscard]] bool is_shown_out() {
        char byte = 0;
        const ssize_t got = ::recv(fd_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        return got == 0 || (got < 0 && errno != EAGAIN);
    }
    void leave() { fd_.reset(); }

private:
    UniqueFd fd_;
};

/// An answering end that knows how to get in, and then does as it likes.
class Impostor {
public:
    explicit Impostor(conformance::End &offering, std::uint64_t message_bytes_max = kShortest) {
        const auto offer = offering.endpoint->make_offer();
        if (!offer) throw std::runtime_error(offer.error().text);
        const Card theirs = card_of(*offer, true);
        token = new_token();
        for (unsigned way = 0; way < kWays; ++way) calls.emplace_back(theirs.port).greet(theirs.token, way);
        const Card ours{.message_bytes_max = message_bytes_max, .token = token, .answers = theirs.token, .port = 0, .addresses = {}};
        const auto taken = offering.endpoint->take_answer(offer_of(ours, false));
        if (!taken) throw std::runtime_error(taken.error().text);
    }
    static constexpr std::uint64_t kShortest = 4096;

    [[nodiscard]] Stranger &sends() { return calls[kFromAnswerer]; }
    [[nodiscard]] Stranger &receives() { return calls[kFromOfferer]; }

    Token token{};
    std::vector<Stranger> calls;
};

/// An offering end that listens at 127.0.0.1, and then does as it likes.
class FalseHost {
public:
    FalseHost() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in at{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}};
        socklen_t length = sizeof at;
        auto *address = reinterpret_cast<sockaddr *>(&at);
        if (::bind(listener_.get(), address, length) != 0 || ::listen(listener_.get(), 8) != 0 ||
            ::getsockname(listener_.get(), address, &length) != 0) {
            throw std::runtime_error("a listener");
        }
        card.port = ntohs(at.sin_port);
        card.message_bytes_max = Impostor::kShortest;
        card.token = new_token();
        card.addresses = {*parse_address("127.0.0.1")};
    }

    [[nodiscard]] plugin::Offer offer() const { return offer_of(card, true); }
    [[nodiscard]] Stranger accept() { return Stranger(UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC))); }

    Card card;

private:
    UniqueFd listener_;
};

}  // namespace sansock::portable
