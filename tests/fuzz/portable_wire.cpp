// What the provider over TCP is told: an offer or its answer, a greeting, and a stream of messages in whatever pieces. A card that is
// believed can be written again as it was; messages come out as they went in, and nothing is laid down beyond a receive.
#include <endian.h>
#include <sys/socket.h>

#include <sansock/sdk/cpp/failure.hpp>

#include "fuzz.hpp"
#include "portable/receiver.hpp"
#include "portable/settings.hpp"
#include "portable/wire.hpp"

using namespace sansock;
using portable::Receiver;

namespace {

void read_card(fuzz::Input &input) {
    const bool is_offer = input.below(2) != 0;
    portable::Card card{.message_bytes_max = input.number(portable::kMessageBytesMin), .port = input.take<uint16_t>()};
    input.copy(card.token.data(), card.token.size());
    if (!is_offer) card.port = 0, input.copy(card.answers.data(), card.answers.size());
    if (card.port != 0) card.addresses.resize(input.below(portable::kAddressesMax + 1), portable::Address{0x20, 1});
    sansock_offer offer{};
    portable::write_card(card, is_offer, offer);
    for (uint32_t changes = input.below(4); changes > 0; --changes) offer.bytes[input.take<uint8_t>()] = input.take<uint8_t>();
    if (input.below(4) == 0) offer.byte_count = std::min<uint32_t>(input.take<uint16_t>(), SANSOCK_OFFER_BYTES_MAX);
    if (input.below(16) == 0) offer.fd_count = 1;
    try {
        const portable::Card read = portable::read_card(offer, is_offer);
        sansock_offer again{};
        portable::write_card(read, is_offer, again);
        MUST(again.byte_count == offer.byte_count && std::memcmp(again.bytes, offer.bytes, offer.byte_count) == 0);
        MUST(read.message_bytes_max <= portable::kMessageBytesMax && (read.port != 0) == is_offer);
        for (const portable::Address &address : read.addresses) MUST(portable::names_a_host(address));
    } catch (const sdk::Failure &) {
    }
    portable::Greeting greeting = portable::greeting(card.token, input.below(2));
    if (input.below(2) != 0) input.copy(&greeting, sizeof greeting);
    const auto way = portable::way_of(greeting);
    MUST(!way || *way < portable::kWays);
}

/// Receives one message after the other, each into memory of which every byte around is watched.
void receive(fuzz::Input &input) {
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    UniqueFd theirs(pair[1]);
    constexpr uint64_t kMessageMax = 4096;
    Receiver receiver;
    receiver.open(portable::Socket(pair[0]), kMessageMax);

    std::string bytes;
    while (!input.is_empty() && bytes.size() < 4096) {
        const uint8_t how = input.take<uint8_t>();
        const std::string_view body = input.bytes(how < 8 ? input.take<uint16_t>() : how % 64);
        const uint32_t length =
            htole32(how % 64 == 63 ? static_cast<uint32_t>(input.number(kMessageMax)) : static_cast<uint32_t>(body.size()));
        bytes.append(reinterpret_cast<const char *>(&length), sizeof length).append(body);
    }
    const size_t piece = 16 + bytes.size() % 251 * 3;
    constexpr size_t kRoom = 1024, kSlices = 3, kGap = 64;
    std::string memory(kSlices * (kRoom + kGap), '\x77');
    portable::Request into{.token = 0, .length = 0, .slice_count = kSlices, .slices = {}, .copied = {}};
    for (size_t i = 0; i < kSlices; ++i) into.slices[i] = {memory.data() + i * (kRoom + kGap), i == 1 ? piece : kRoom, nullptr};
    for (const sansock_slice &slice : into.slices) into.length += slice.length;

    std::string_view rest = bytes;  // what has not been received
    auto result = Receiver::Result::nothing;
    const auto take_all = [&] {
        while ((result = receiver.next(&into)) == Receiver::Result::done) {
            uint32_t length = 0;
            MUST(rest.size() >= sizeof length);
            std::memcpy(&length, rest.data(), sizeof length);
            MUST(receiver.length() == le32toh(length) && rest.size() - sizeof length >= receiver.length());
            std::string got;
            for (const sansock_slice &slice : into.slices)
                got.append(static_cast<const char *>(slice.address), std::min(slice.length, receiver.length() - got.size()));
            MUST(got == rest.substr(sizeof length, receiver.length()));
            rest.remove_prefix(sizeof length + receiver.length());
            for (size_t i = 0; i < kSlices && !got.empty(); ++i) {
                const size_t gap = i * (kRoom + kGap) + into.slices[i].length;
                MUST(memory.find_first_not_of('\x77', gap) >= (i + 1) * (kRoom + kGap));
            }
        }
    };
    for (size_t at = 0; at < bytes.size() && result == Receiver::Result::nothing; at += piece) {
        const size_t part = std::min(piece, bytes.size() - at);
        MUST(write(theirs.get(), bytes.data() + at, part) == static_cast<ssize_t>(part));
        receiver.look();
        take_all();
    }
    theirs.reset();
    receiver.look(true);
    if (result == Receiver::Result::nothing) take_all();
    MUST(result == Receiver::Result::ended || result == Receiver::Result::lied || result == Receiver::Result::too_long);
    MUST(result != Receiver::Result::ended || rest.size() < kMessageMax + 4);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz::Input input(data, size);
    if (input.below(4) == 0) {
        read_card(input);
    } else {
        receive(input);
    }
    return 0;
}
