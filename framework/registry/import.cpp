#include <fmt/format.h>

#include <set>

#include "base/printable.hpp"
#include "config/document.hpp"
#include "registry/convert.hpp"
#include "registry/kept_line.hpp"
#include "registry/reg_file.hpp"

namespace sansock::registry {
namespace {

using config::Guid;

constexpr std::string_view kAbout =
    "#\n"
    "# The lines behind #reg are those of that file, in their places. `sansock export-registry` writes it again\n"
    "# from them, with the numbers that stand here; it takes no notice of what else is changed.\n";

class Writer {
public:
    Writer(const Text &text, const RegFile &file, const std::string &plugin)
        : text_(text), file_(file), providers_(file.providers()), plugin_(plugin) {}

    std::string write(const std::string &name) {
        out_ = fmt::format("# Imported from {} by `sansock import-registry`.\n", printable(name));
        out_ += kAbout;
        out_ += kept_encoding(text_.encoding);
        auto key = file_.keys.begin();
        for (size_t i = 0; i < text_.lines.size(); ++i) {
            const bool is_key = key != file_.keys.end() && key->line == i;
            const auto guid = is_key ? (key++)->guid : std::nullopt;
            const bool begins = guid && providers_.contains(*guid) && !written_.contains(*guid);
            if (begins && written_.empty()) out_ += "\nproviders:\n";
            out_.append(written_.empty() && !begins ? 0 : 2, ' ').append(kept_line(text_.lines[i], text_.encoding));
            if (begins) write_block(*guid);
        }
        return std::move(out_);
    }

    [[nodiscard]] size_t providers() const { return providers_.size(); }

private:
    void write_block(const Guid &guid) {
        written_.insert(guid);
        out_ += fmt::format("  {}:\n    plugin: {}\n", guid.text(), plugin_);
        for (const Setting setting : kSettings) {
            const SettingShape &shape = shape_of(setting);
            const auto number = providers_[guid].of(setting);
            if (number && effective(setting, number) == *number) {
                out_ += fmt::format("    {}: {}\n", shape.key, *number);
            } else if (number) {
                out_ += fmt::format("    # {}: {} is outside {} to {}; the default {} holds\n", shape.value, *number, shape.min, shape.max,
                                    shape.absent);
            }
        }
    }

    const Text &text_;
    const RegFile &file_;
    std::map<Guid, RegFile::Values> providers_;
    const std::string &plugin_;
    std::set<Guid> written_;
    std::string out_;
};

}  // namespace

Conversion import_registry(std::string_view bytes, const std::string &name, const std::string &plugin) {
    const auto refuse = [&](config::Diagnostic fault) { return std::unexpected(std::vector{std::move(fault)}); };
    const auto text = decode(bytes);
    if (!text) return refuse({name, {}, text.error().text});
    auto file = parse(*text, name);
    if (!file) return refuse(std::move(file.error()));
    Writer writer(*text, *file, plugin);
    Converted made{.text = writer.write(name), .providers = writer.providers(), .notes = std::move(file->notes)};
    if (made.text.size() > config::kTextMax)
        return refuse({name, {}, "too much for a configuration file; allowed: an export of the key TCP on SAN alone"});
    if (made.providers == 0) made.notes.push_back({name, {}, "note: no provider has a key in it, " + key_of(Guid{}) + " or the like"});
    return made;
}

}  // namespace sansock::registry
