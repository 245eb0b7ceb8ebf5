#include "registry/text.hpp"

#include <fmt/format.h>

#include <boost/locale/utf.hpp>
#include <charconv>
#include <utility>

namespace sansock::registry {
namespace {

namespace utf = boost::locale::utf;

constexpr std::pair<Encoding, std::string_view> kNames[] = {{Encoding::bytes, "bytes"},
                                                            {Encoding::utf8_mark, "utf-8-with-mark"},
                                                            {Encoding::utf16le_mark, "utf-16le-with-mark"},
                                                            {Encoding::utf16le, "utf-16le"},
                                                            {Encoding::utf16be_mark, "utf-16be-with-mark"}};

bool is_wide(Encoding encoding) { return encoding != Encoding::bytes && encoding != Encoding::utf8_mark; }

std::string_view mark_of(Encoding encoding) {
    switch (encoding) {
        case Encoding::utf8_mark: return "\xef\xbb\xbf";
        case Encoding::utf16le_mark: return "\xff\xfe";
        case Encoding::utf16be_mark: return "\xfe\xff";
        case Encoding::bytes:
        case Encoding::utf16le: break;
    }
    return {};
}

Encoding encoding_of(std::string_view bytes) {
    for (const Encoding marked : {Encoding::utf8_mark, Encoding::utf16le_mark, Encoding::utf16be_mark}) {
        if (bytes.starts_with(mark_of(marked))) return marked;
    }
    // Both headers begin with an ASCII letter.
    return bytes.size() >= 2 && bytes[0] != '\0' && bytes[1] == '\0' ? Encoding::utf16le : Encoding::bytes;
}

/// What may stand in a comment of a YAML file, and be read there by people.
bool is_shown(utf::code_point character) {
    if (character < 0x20 || character == '%' || (character >= 0x7f && character < 0xa0)) return false;
    return character != 0x2028 && character != 0x2029 && character != 0xfeff && (character & 0xfffe) != 0xfffe;
}

void append(std::u16string &units, utf::code_point character) {
    if (character >= 0x10000) {
        units += static_cast<char16_t>(0xd800 + ((character - 0x10000) >> 10));
        units += static_cast<char16_t>(0xdc00 + ((character - 0x10000) & 0x3ff));
    } else {
        units += static_cast<char16_t>(character);
    }
}

}  // namespace

std::string_view name_of(Encoding encoding) {
    for (const auto &[value, name] : kNames) {
        if (value == encoding) return name;
    }
    return {};
}

bool parse_encoding(std::string_view name, Encoding &encoding) {
    for (const auto &[value, known] : kNames) {
        if (known != name) continue;
        encoding = value;
        return true;
    }
    return false;
}

Result<Text> decode(std::string_view bytes) {
    Text text{.encoding = encoding_of(bytes), .lines = {}};
    bytes.remove_prefix(mark_of(text.encoding).size());
    const size_t width = is_wide(text.encoding) ? 2 : 1;
    if (bytes.size() % width != 0) return fail(EINVAL, "it ends within a character of UTF-16: it was cut off");
    const bool swapped = text.encoding == Encoding::utf16be_mark;
    Line line{.units = {}, .ending = Ending::none};
    for (size_t at = 0; at < bytes.size(); at += width) {
        const auto first = static_cast<unsigned char>(bytes[at]);
        const auto second = width == 2 ? static_cast<unsigned char>(bytes[at + 1]) : static_cast<unsigned char>(0);
        const auto unit = static_cast<char16_t>(swapped ? first << 8 | second : first | second << 8);
        if (unit != u'\n') {
            line.units += unit;
            continue;
        }
        line.ending = line.units.ends_with(u'\r') ? Ending::crlf : Ending::lf;
        if (line.ending == Ending::crlf) line.units.pop_back();
        text.lines.push_back(std::exchange(line, {.units = {}, .ending = Ending::none}));
    }
    if (!line.units.empty()) text.lines.push_back(std::move(line));
    return text;
}

std::string encode(const Text &text) {
    std::string bytes(mark_of(text.encoding));
    const auto put = [&](char16_t unit) {
        const char low = static_cast<char>(unit & 0xff), high = static_cast<char>(unit >> 8);
        if (!is_wide(text.encoding)) {
            bytes += low;
        } else if (text.encoding == Encoding::utf16be_mark) {
            bytes.append(1, high).append(1, low);
        } else {
            bytes.append(1, low).append(1, high);
        }
    };
    for (const Line &line : text.lines) {
        for (const char16_t unit : line.units) put(unit);
        if (line.ending == Ending::crlf) put(u'\r');
        if (line.ending != Ending::none) put(u'\n');
    }
    return bytes;
}

std::string escape(std::u16string_view units, Encoding encoding) {
    std::string out;
    const bool wide = is_wide(encoding);
    for (const char16_t *at = units.data(), *const end = at + units.size(); at != end;) {
        const char16_t *const begin = at;
        utf::code_point character = *at;
        if (wide) {
            character = utf::utf_traits<char16_t>::decode(at, end);
        } else {
            ++at;
        }
        const bool sound = utf::is_valid_codepoint(character) && (wide || character < 0x80);
        const bool trails = character == ' ' && at == end;  // editors take it away
        if (sound && is_shown(character) && !trails) {
            utf::utf_traits<char>::encode(character, std::back_inserter(out));
            continue;
        }
        // A character that is not sound: its first unit, and what follows is looked at anew.
        at = begin + 1;
        out +=
            *begin < 0x100 ? fmt::format("%{:02X}", static_cast<unsigned>(*begin)) : fmt::format("%u{:04X}", static_cast<unsigned>(*begin));
    }
    return out;
}

Result<std::u16string> unescape(std::string_view escaped, Encoding encoding) {
    std::u16string units;
    for (const char *at = escaped.data(), *const end = at + escaped.size(); at != end;) {
        if (*at != '%') {
            const utf::code_point character = utf::utf_traits<char>::decode(at, end);
            if (!utf::is_valid_codepoint(character)) return fail(EINVAL, "what is not UTF-8");
            if (character >= 0x80 && !is_wide(encoding)) return fail(EINVAL, "a character beyond ASCII, in a file of bytes; allowed: %XX");
            append(units, character);
            continue;
        }
        const bool four = at + 1 != end && at[1] == 'u';
        const char *const digits = at + (four ? 2 : 1);
        const long size = four ? 4 : 2;
        unsigned value = 0;
        if (end - digits < size || std::from_chars(digits, digits + size, value, 16).ptr != digits + size || (four && !is_wide(encoding)))
            return fail(EINVAL,
                        is_wide(encoding) ? "a % without its digits; allowed: %XX, %uXXXX" : "a % without its digits; allowed: %XX");
        units += static_cast<char16_t>(value);
        at = digits + size;
    }
    return units;
}

std::string ascii(std::u16string_view units) {
    std::string out;
    for (const char16_t unit : units) out += unit < 0x80 ? static_cast<char>(unit) : '?';
    return out;
}

}  // namespace sansock::registry
