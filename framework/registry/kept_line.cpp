#include "registry/kept_line.hpp"

#include <fmt/format.h>

namespace sansock::registry {
namespace {

constexpr std::string_view kEncoding = "#reg-encoding ";
constexpr std::pair<Ending, std::string_view> kPrefixes[] = {
    {Ending::crlf, "#reg|"}, {Ending::lf, "#reg:lf|"}, {Ending::none, "#reg:none|"}};

}  // namespace

std::string kept_encoding(Encoding encoding) { return fmt::format("{}{}\n", kEncoding, name_of(encoding)); }

std::string kept_line(const Line &line, Encoding encoding) {
    const std::string text = escape(line.units, encoding);
    for (const auto &[ending, prefix] : kPrefixes) {
        if (ending == line.ending) return fmt::format("{}{}{}\n", prefix, text.empty() ? "" : " ", text);
    }
    return {};
}

Result<std::optional<Text>> kept_text(std::string_view yaml, int &line) {
    std::optional<Text> text;
    line = 0;
    while (!yaml.empty()) {
        ++line;
        const size_t end = yaml.find('\n');
        std::string_view comment = yaml.substr(0, end);
        yaml.remove_prefix(end == std::string_view::npos ? yaml.size() : end + 1);
        if (comment.ends_with('\r')) comment.remove_suffix(1);
        comment.remove_prefix(std::min(comment.find_first_not_of(" \t"), comment.size()));
        if (comment.starts_with(kEncoding)) {
            Encoding encoding{};
            if (text) return fail(EINVAL, "the encoding once more; allowed: once, before all lines behind #reg");
            if (!parse_encoding(comment.substr(kEncoding.size()), encoding))
                return fail(EINVAL, "an encoding that there is none of; allowed: what `sansock import-registry` wrote");
            text = Text{.encoding = encoding, .lines = {}};
            continue;
        }
        for (const auto &[ending, prefix] : kPrefixes) {
            if (!comment.starts_with(prefix)) continue;
            comment.remove_prefix(prefix.size());
            if (comment.starts_with(' ')) comment.remove_prefix(1);
            if (!text)
                return fail(EINVAL, "a line behind #reg without the encoding before it; allowed: what `sansock import-registry` wrote");
            auto units = unescape(comment, text->encoding);
            if (!units) return std::unexpected(std::move(units.error()));
            // Either would run into another line of the file, and what is said there would be lost.
            if (!text->lines.empty() && text->lines.back().ending == Ending::none)
                return fail(EINVAL, "a line behind #reg after that of #reg:none; allowed: none, for there the file ends");
            if (units->find(u'\n') != std::u16string::npos)
                return fail(EINVAL, "a line feed within a line behind #reg; allowed: a line of the file each");
            text->lines.push_back({std::move(*units), ending});
            break;
        }
    }
    return text;
}

}  // namespace sansock::registry
