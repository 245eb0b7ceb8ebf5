// Text from elsewhere, as a terminal may see it.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace sansock {

/// The text with its control characters written out as in YAML and C: they would steer the terminal. UTF-8 stays, but
/// for the control characters that it has beyond ASCII.
[[nodiscard]] inline std::string printable(std::string_view text) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto code = static_cast<unsigned char>(text[i]);
        const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
        const bool is_c1 = code == 0xc2 && next >= 0x80 && next < 0xa0;
        if (!is_c1 && code >= 0x20 && code != 0x7f) {
            out += text[i];
            continue;
        }
        if (is_c1) {
            code = static_cast<unsigned char>(next);
            ++i;
        }
        if (code == '\n') {
            out += "\\n";
        } else if (code == '\t') {
            out += "\\t";
        } else {
            out.append("\\x").append(1, kDigits[code >> 4]).append(1, kDigits[code & 15]);
        }
    }
    return out;
}

}  // namespace sansock
