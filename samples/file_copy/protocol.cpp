#include "file_copy/protocol.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <stdexcept>
#include <vector>

#include "common/wire.hpp"

namespace file_copy {
namespace {

constexpr std::uint32_t kMagic = 0x53464331;  // "SFC1"
constexpr std::size_t kOfferSize = 4 + 2 + 8;
constexpr std::size_t kReplySize = 1 + 2;
constexpr std::size_t kReasonLengthMax = 1024;

void append_text(std::vector<std::byte> &out, const std::string &text) {
    const auto bytes = std::as_bytes(std::span(text));
    out.insert(out.end(), bytes.begin(), bytes.end());
}

std::string receive_text(samples::Connection &connection, std::size_t length) {
    std::string text(length, '\0');
    samples::receive_all(connection, std::as_writable_bytes(std::span(text)));
    return text;
}

}  // namespace

void send_offer(samples::Connection &connection, const Offer &offer) {
    std::vector<std::byte> message;
    samples::append(message, kMagic);
    samples::append(message, static_cast<std::uint16_t>(offer.name.size()));
    samples::append(message, offer.size);
    append_text(message, offer.name);
    connection.send_all(message);
}

bool receive_offer(samples::Connection &connection, Offer &offer) {
    std::array<std::byte, kOfferSize> head;
    if (!samples::receive_or_end(connection, head)) return false;
    std::span<const std::byte> rest(head);
    if (samples::take<std::uint32_t>(rest) != kMagic) throw std::runtime_error("not a file copy client: wrong magic");
    const std::size_t name_length = samples::take<std::uint16_t>(rest);
    offer.size = samples::take<std::uint64_t>(rest);
    if (name_length > kNameLengthMax) throw std::runtime_error("the offered name is longer than 255 bytes");
    offer.name = receive_text(connection, name_length);
    return true;
}

void send_reply(samples::Connection &connection, const Reply &reply) {
    const std::string reason = reply.reason.substr(0, kReasonLengthMax);
    std::vector<std::byte> message;
    samples::append(message, static_cast<std::uint8_t>(reply.accepted ? 0 : 1));
    samples::append(message, static_cast<std::uint16_t>(reason.size()));
    append_text(message, reason);
    connection.send_all(message);
}

Reply receive_reply(samples::Connection &connection) {
    std::array<std::byte, kReplySize> head;
    samples::receive_all(connection, head);
    std::span<const std::byte> rest(head);
    const auto status = samples::take<std::uint8_t>(rest);
    const std::size_t length = samples::take<std::uint16_t>(rest);
    if (status > 1 || length > kReasonLengthMax) throw std::runtime_error("not a file copy server: unknown reply");
    return {status == 0, receive_text(connection, length)};
}

}  // namespace file_copy
