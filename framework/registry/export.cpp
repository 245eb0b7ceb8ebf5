#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "config/load.hpp"
#include "registry/convert.hpp"
#include "registry/kept_line.hpp"
#include "registry/reg_file.hpp"

namespace sansock::registry {
namespace {

using config::Guid;

std::u16string units_of(std::string_view text) { return {text.begin(), text.end()}; }

std::string assignment_of(Setting setting, uint32_t number) { return fmt::format("\"{}\"=dword:{:08x}", shape_of(setting).value, number); }

uint32_t number_of(const config::Provider &provider, Setting setting) {
    return setting == Setting::send_buffers ? provider.send_buffers : provider.receive_buffers;
}

/// What the registry editor would have written for a machine that has no such key.
Text new_file() { return {.encoding = Encoding::utf16le_mark, .lines = {{units_of("Windows Registry Editor Version 5.00")}, {u""}}}; }

/// Brings the lines of a .reg file up to what the configuration says.
class Merger {
public:
    Merger(Text text, RegFile file, const config::Config &config) : text_(std::move(text)), file_(std::move(file)), config_(config) {}

    Text merge() {
        drop_removed();
        for (const config::Provider &provider : config_.providers) {
            for (const Setting setting : kSettings) update(provider, setting);
        }
        Text out{.encoding = text_.encoding, .lines = {}};
        for (size_t i = 0; i < text_.lines.size(); ++i) {
            if (!dropped_.contains(i)) out.lines.push_back(std::move(text_.lines[i]));
            for (std::string &line : added_[i]) out.lines.push_back({units_of(line)});
        }
        for (const config::Provider &provider : config_.providers) {
            if (!had_.contains(provider.guid)) append(out, provider);
        }
        return out;
    }

private:
    /// The keys of providers that the configuration has no more, each to the next key.
    void drop_removed() {
        had_ = file_.providers();
        for (size_t i = 0; i < file_.keys.size(); ++i) {
            const Key &key = file_.keys[i];
            if (!key.guid || !had_.contains(*key.guid) || is_configured(*key.guid)) continue;
            const size_t end = i + 1 < file_.keys.size() ? file_.keys[i + 1].line : text_.lines.size();
            for (size_t line = key.line; line < end; ++line) dropped_.insert(line);
        }
    }

    [[nodiscard]] bool is_configured(const Guid &guid) const {
        return std::ranges::any_of(config_.providers, [&](const config::Provider &provider) { return provider.guid == guid; });
    }

    /// The last line that says it wins; without one, a new line behind the key's.
    void update(const config::Provider &provider, Setting setting) {
        const auto had = had_.find(provider.guid);
        const uint32_t number = number_of(provider, setting);
        if (had == had_.end() || effective(setting, had->second.of(setting)) == number) return;
        const Assignment *last = nullptr;
        for (const Assignment &assignment : file_.assignments) {
            if (assignment.guid == provider.guid && assignment.setting == setting) last = &assignment;
        }
        if (last != nullptr && last->digits_size > 0 && had->second.of(setting)) {
            text_.lines[last->line].units.replace(last->digits_at, last->digits_size, units_of(fmt::format("{:08x}", number)));
            return;
        }
        size_t at = last != nullptr ? last->last_line : 0;
        for (const Key &key : file_.keys) {
            if (key.guid == provider.guid && !key.deletes) at = std::max(at, key.line);
        }
        added_[at].push_back(assignment_of(setting, number));
        if (text_.lines[at].ending == Ending::none) text_.lines[at].ending = Ending::crlf;
    }

    static void append(Text &out, const config::Provider &provider) {
        if (out.lines.back().ending == Ending::none) out.lines.back().ending = Ending::crlf;
        if (!out.lines.back().units.empty()) out.lines.push_back({u""});
        out.lines.push_back({units_of("[" + key_of(provider.guid) + "]")});
        for (const Setting setting : kSettings) out.lines.push_back({units_of(assignment_of(setting, number_of(provider, setting)))});
        out.lines.push_back({u""});
    }

    Text text_;
    RegFile file_;
    const config::Config &config_;
    std::map<Guid, RegFile::Values> had_;
    std::set<size_t> dropped_;
    std::map<size_t, std::vector<std::string>> added_;  ///< Behind a line.
};

}  // namespace

Conversion export_registry(std::string_view yaml, const std::string &name) {
    auto loaded = config::load_text(yaml, name);
    if (!loaded.config) return std::unexpected(std::move(loaded.config.error()));
    const auto refuse = [&](int line, std::string text) {
        return std::unexpected(std::vector{config::Diagnostic{name, {line, 1}, std::move(text)}});
    };
    int line = 0;
    auto kept = kept_text(yaml, line);
    if (!kept) return refuse(line, std::move(kept.error().text));
    // An imported file that names no provider names none again, whatever holds without one.
    if (*kept) std::erase_if(loaded.config->providers, [](const config::Provider &one) { return one.position == config::Position{}; });
    Text text = kept->value_or(new_file());
    auto file = parse(text, name);
    if (!file)
        return refuse(
            1, fmt::format("the lines behind #reg are no .reg file: line {} of them: {}", file.error().position.line, file.error().text));
    return Converted{.text = encode(Merger(std::move(text), std::move(*file), *loaded.config).merge()),
                     .providers = loaded.config->providers.size(),
                     .notes = std::move(loaded.notes)};
}

}  // namespace sansock::registry
