#include "config/guid.hpp"

#include <cstddef>

namespace sansock::config {
namespace {

/// The value of a hexadecimal digit, or -1.
int digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// Whether the canonical text has a dash before this byte.
constexpr bool dash_before(std::size_t byte) { return byte == 4 || byte == 6 || byte == 8 || byte == 10; }

constexpr std::size_t kTextLength = 36;

}  // namespace

std::optional<Guid> Guid::parse(std::string_view text) {
    if (text.size() == kTextLength + 2 && text.front() == '{' && text.back() == '}') text = text.substr(1, kTextLength);
    if (text.size() != kTextLength) return std::nullopt;

    Guid guid;
    std::size_t at = 0;
    for (std::size_t byte = 0; byte < guid.bytes.size(); ++byte) {
        if (dash_before(byte) && text[at++] != '-') return std::nullopt;
        const int high = digit(text[at++]);
        const int low = digit(text[at++]);
        if (high < 0 || low < 0) return std::nullopt;
        guid.bytes[byte] = static_cast<std::uint8_t>(high << 4 | low);
    }
    return guid;
}

std::string Guid::text() const {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    out.reserve(kTextLength);
    for (std::size_t byte = 0; byte < bytes.size(); ++byte) {
        if (dash_before(byte)) out += '-';
        out += kDigits[bytes[byte] >> 4];
        out += kDigits[bytes[byte] & 15];
    }
    return out;
}

}  // namespace sansock::config
