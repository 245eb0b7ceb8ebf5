#include <fmt/format.h>
#include <fmt/ranges.h>

#include "config/describe.hpp"
#include "config/setting.hpp"
#include "config/suggest.hpp"

namespace sansock::config {
namespace {

constexpr std::size_t kColumns = 80;

/// The text in lines, each behind `indent` spaces.
std::string wrapped(std::string_view text, std::size_t indent) {
    std::string out;
    std::size_t column = 0;
    while (!text.empty()) {
        const std::string_view word = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(word.size() + 1, text.size()));
        if (column == 0 || column + 1 + word.size() > kColumns) {
            out += fmt::format("{}{:{}}{}", column == 0 ? "" : "\n", "", indent, word);
            column = indent + word.size();
        } else {
            out += fmt::format(" {}", word);
            column += 1 + word.size();
        }
    }
    return out + '\n';
}

std::string explain_one(const Setting &setting) {
    std::string out = setting.path() + '\n' + wrapped(setting.summary, 4);
    out += wrapped(fmt::format("Allowed: {}.", allowed(setting)), 4);
    if (!setting.fallback.empty()) out += fmt::format("    Default: {}.\n", setting.fallback);
    if (setting.required) out += "    Needed.\n";
    if (!setting.example.empty() && setting.kind != Kind::block) out += fmt::format("    Example: {}\n", setting.example);
    if (!setting.detail.empty()) out += wrapped(setting.detail, 4);
    return out;
}

/// Whether `key` is the path, the end of it, or something above it.
bool concerns(const Setting &setting, std::string_view key) {
    const std::string path = setting.path();
    if (key.empty() || path == key || path.ends_with('.' + std::string(key))) return true;
    return path.starts_with(std::string(key) + '.') || path.starts_with(std::string(key) + "[]");
}

}  // namespace

Result<std::string> explain(std::string_view key) {
    std::string out;
    for (const Setting &setting : settings())
        if (concerns(setting, key)) out += (out.empty() ? "" : "\n") + explain_one(setting);
    if (!out.empty()) return out;

    std::vector<std::string> paths;
    std::vector<std::string_view> known;
    for (const Setting &setting : settings()) paths.push_back(setting.path());
    for (const std::string &path : paths) known.push_back(path);
    for (const Setting &setting : settings()) known.push_back(setting.name);
    const auto near = suggest(key, known);
    return fail(ENOENT, fmt::format("\"{}\" is not a setting{}", key, near ? fmt::format(" (did you mean \"{}\"?)", *near) : ""));
}

}  // namespace sansock::config
