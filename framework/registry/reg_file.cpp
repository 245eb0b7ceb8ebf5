#include "registry/reg_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/algorithm/string/case_conv.hpp>
#include <boost/algorithm/string/predicate.hpp>
#include <charconv>

#include "base/printable.hpp"

namespace sansock::registry {
namespace {

using config::Diagnostic;
using config::Guid;
using config::Position;

constexpr std::string_view kHive = "HKEY_LOCAL_MACHINE\\SYSTEM\\";
constexpr std::string_view kService = "\\Services\\Winsock\\Parameters\\TCP on SAN";
constexpr std::string_view kHeaders[] = {"Windows Registry Editor Version 5.00", "REGEDIT4"};

/// The part of a key behind `TCP on SAN\`, empty for that key itself; nothing for other keys. A hive of a machine that is off has its
/// control sets by number.
std::optional<std::string_view> below_san(std::string_view key) {
    if (!boost::istarts_with(key, kHive)) return {};
    key.remove_prefix(kHive.size());
    const std::string_view set = key.substr(0, key.find('\\'));
    const bool numbered = set.size() == 13 && boost::istarts_with(set, "ControlSet") &&
                          std::ranges::all_of(set.substr(10), [](char digit) { return digit >= '0' && digit <= '9'; });
    if (!numbered && !boost::iequals(set, "CurrentControlSet")) return {};
    key.remove_prefix(set.size());
    if (!boost::istarts_with(key, kService)) return {};
    key.remove_prefix(kService.size());
    if (!key.empty() && !key.starts_with('\\')) return {};
    return key.substr(std::min<size_t>(key.size(), 1));
}

class Parser {
public:
    Parser(const Text &text, const std::string &name) : text_(text), name_(name) {}

    std::expected<RegFile, Diagnostic> run() {
        if (text_.lines.empty()) return fault(0, 0, "nothing; allowed: a .reg file, as the registry editor exports a key");
        const std::string header = ascii(text_.lines[0].units);
        if (std::ranges::find(kHeaders, header) == std::end(kHeaders)) {
            return fault(0, 0, fmt::format("\"{}\"; allowed: {}, or {}", printable(header.substr(0, 60)), kHeaders[0], kHeaders[1]));
        }
        for (line_ = 1; line_ < text_.lines.size(); ++line_) {
            const std::string line = ascii(text_.lines[line_].units);
            const size_t begin = line.find_first_not_of(" \t");
            if (begin == std::string::npos || line[begin] == ';') continue;
            if (line[begin] == '[') {
                read_key(line, begin);
            } else if (line[begin] == '"' || line[begin] == '@') {
                if (auto unfinished = read_value(line, begin)) return std::unexpected(std::move(*unfinished));
            } else {
                note(begin, "neither a key nor a value; kept as it is");
            }
        }
        return std::move(file_);
    }

private:
    [[nodiscard]] Diagnostic at(size_t line, size_t column, std::string text) const {
        return {name_, Position{static_cast<int>(line) + 1, static_cast<int>(column) + 1}, std::move(text)};
    }
    [[nodiscard]] std::unexpected<Diagnostic> fault(size_t line, size_t column, std::string text) const {
        return std::unexpected(at(line, column, std::move(text)));
    }
    void note(size_t column, const std::string &text) { file_.notes.push_back(at(line_, column, "note: " + text)); }

    void read_key(const std::string &line, size_t begin) {
        guid_.reset();
        const size_t end = line.rfind(']');
        if (end == std::string::npos) return note(begin, "a key without its ]; kept as it is");
        Key key{.line = line_};
        std::string_view path = std::string_view(line).substr(begin + 1, end - begin - 1);
        key.deletes = path.starts_with('-');
        if (key.deletes) path.remove_prefix(1);
        const auto below = below_san(path);
        key.of_all = below && below->empty();
        if (below && !below->empty()) {
            const bool braced = below->starts_with('{') && below->ends_with('}');
            key.guid = braced ? Guid::parse(*below) : std::nullopt;
            if (!key.guid) note(begin, fmt::format("a subkey that no provider is named by: {}; kept as it is", printable(*below)));
        }
        if (!key.deletes) guid_ = key.guid;
        file_.keys.push_back(key);
    }

    /// Behind the closing quote of what begins at `at`, which may be on a later line. Nothing: there is none.
    std::optional<size_t> skip_string(std::string &line, size_t at) {
        for (++at;; ++at) {
            while (at >= line.size()) {
                if (line_ + 1 >= text_.lines.size()) return {};
                line = ascii(text_.lines[++line_].units);
                at = 0;
                if (line.empty()) continue;
            }
            if (line[at] == '\\') {
                ++at;
            } else if (line[at] == '"') {
                return at + 1;
            }
        }
    }

    std::optional<Diagnostic> read_value(const std::string &line, size_t begin) {
        const size_t before = file_.assignments.size();
        auto unfinished = read_assignment(line, begin);
        if (file_.assignments.size() > before) file_.assignments.back().last_line = line_;
        return unfinished;
    }

    std::optional<Diagnostic> read_assignment(std::string line, size_t begin) {
        const size_t first = line_;
        size_t at = begin + 1;
        if (line[begin] == '"') {
            const auto behind = skip_string(line, begin);
            if (!behind) return this->at(first, begin, "a name in quotes that does not end: the file was cut off");
            at = *behind;
        }
        const std::string name = first == line_ && line[begin] == '"' ? line.substr(begin + 1, at - begin - 2) : std::string();
        at = line.find_first_not_of(" \t", at);
        if (at == std::string::npos || line[at] != '=') {
            note(begin, "a value without its =; kept as it is");
            return {};
        }
        at = std::min(line.find_first_not_of(" \t", at + 1), line.size());
        if (at < line.size() && line[at] == '"') {
            const size_t quote = at;
            if (!skip_string(line, at)) return this->at(first, quote, "text in quotes that does not end: the file was cut off");
            if (guid_) assign(first, begin, name, "", 0);
            return {};
        }
        if (guid_) assign(first, begin, name, std::string_view(line).substr(at), at);
        // Long data goes on behind a backslash at the end of the line.
        while (line.find_last_not_of(" \t") != std::string::npos && line[line.find_last_not_of(" \t")] == '\\') {
            if (line_ + 1 >= text_.lines.size()) return this->at(first, begin, "a value that does not end: the file was cut off");
            line = ascii(text_.lines[++line_].units);
        }
        return {};
    }

    /// `data` stands at `offset` of the line.
    void assign(size_t line, size_t begin, const std::string &name, std::string_view data, size_t offset) {
        const auto setting = std::ranges::find_if(kSettings, [&](Setting one) { return boost::iequals(shape_of(one).value, name); });
        if (setting == std::end(kSettings)) return;
        Assignment assignment{.line = line, .guid = *guid_, .setting = *setting};
        data = data.substr(0, data.find(';'));
        data = data.substr(0, data.find_last_not_of(" \t") + 1);
        const SettingShape &shape = shape_of(*setting);
        constexpr std::string_view kNumber = "dword:";
        uint32_t number = 0;
        if (boost::istarts_with(data, kNumber)) {
            const std::string_view digits = data.substr(kNumber.size());
            const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
            if (error == std::errc() && end == digits.data() + digits.size() && digits.size() <= 8) {
                assignment.number = number;
                assignment.digits_at = offset + kNumber.size();
                assignment.digits_size = digits.size();
            }
        }
        const Position place{static_cast<int>(line) + 1, static_cast<int>(begin) + 1};
        if (!assignment.number && data != "-") {
            file_.notes.push_back({name_, place,
                                   fmt::format("note: {} is no REG_DWORD (dword: and up to 8 hexadecimal digits); kept as it is, and the "
                                               "default {} holds",
                                               shape.value, shape.absent)});
        } else if (assignment.number && (number < shape.min || number > shape.max)) {
            file_.notes.push_back({name_, place,
                                   fmt::format("note: {} is {}, outside {} to {}; kept as it is, and the default {} holds", shape.value,
                                               number, shape.min, shape.max, shape.absent)});
        }
        file_.assignments.push_back(assignment);
    }

    const Text &text_;
    const std::string &name_;
    RegFile file_;
    size_t line_ = 0;
    std::optional<Guid> guid_;  ///< Of the key that values belong to just now.
};

}  // namespace

const SettingShape &shape_of(Setting setting) {
    static constexpr SettingShape kShapes[] = {{"SendBuffers", "send_buffers", 5, 255, 5},
                                               {"ReceiveBuffers", "receive_buffers", 6, 255, 6}};
    return kShapes[static_cast<size_t>(setting)];
}

uint32_t effective(Setting setting, std::optional<uint32_t> number) {
    const SettingShape &shape = shape_of(setting);
    return number && *number >= shape.min && *number <= shape.max ? *number : shape.absent;
}

std::map<Guid, RegFile::Values> RegFile::providers() const {
    std::map<Guid, Values> found;
    auto assignment = assignments.begin();
    for (const Key &key : keys) {
        for (; assignment != assignments.end() && assignment->line < key.line; ++assignment)
            found[assignment->guid].of(assignment->setting) = assignment->number;
        if (key.of_all && key.deletes) found.clear();
        if (key.guid && key.deletes) found.erase(*key.guid);
        if (key.guid && !key.deletes) found[*key.guid];
    }
    for (; assignment != assignments.end(); ++assignment) found[assignment->guid].of(assignment->setting) = assignment->number;
    return found;
}

std::expected<RegFile, Diagnostic> parse(const Text &text, const std::string &name) { return Parser(text, name).run(); }

std::string key_of(const Guid &guid) {
    return fmt::format("{}CurrentControlSet{}\\{{{}}}", kHive, kService, boost::to_upper_copy(guid.text()));
}

}  // namespace sansock::registry
