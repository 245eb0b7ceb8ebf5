#include <fmt/format.h>

#include "config/describe.hpp"
#include "config/setting.hpp"

namespace sansock::config {
namespace {

constexpr std::string_view kHeader =
    "# sansock's configuration. Everything below is the default, which also holds without any file.\n"
    "# `sansock check FILE` finds mistakes, `sansock config explain KEY` says more about a key.\n";

constexpr int kStep = 2;

struct Lines {
    std::string text;
    bool live = false;  ///< Whether anything but comments is in it.
};

Lines render_scope(std::string_view scope, int indent);

/// What a setting holds, under its line.
Lines render_below(const Setting &setting, int indent) {
    if (setting.kind == Kind::guid_map) {
        const auto block = render_scope(setting.child_scope(), indent + kStep);
        return {fmt::format("{:{}}{}:\n{}", "", indent, setting.shipped, block.text), true};
    }
    if (setting.kind != Kind::sequence) return render_scope(setting.child_scope(), indent);

    // The dash of a list element stands before its first key, which comes after that key's comment.
    Lines element = render_scope(setting.child_scope(), indent + kStep);
    const auto first_key = element.text.find_first_not_of(' ', element.text.find('\n') + 1);
    element.text[first_key - kStep] = '-';
    return element;
}

Lines render(const Setting &setting, int indent) {
    const auto comment = fmt::format("{:{}}# {}\n", "", indent, setting.summary);
    if (!setting.child_scope().empty()) {
        const Lines below = render_below(setting, indent + kStep);
        return {fmt::format("{}{:{}}{}{}:\n{}", comment, "", indent, below.live ? "" : "# ", setting.name, below.text), below.live};
    }
    const std::string_view live = setting.fallback.empty() ? setting.shipped : setting.fallback;
    const bool is_live = !live.empty();
    return {fmt::format("{}{:{}}{}{}: {}\n", comment, "", indent, is_live ? "" : "# ", setting.name, is_live ? live : setting.example),
            is_live};
}

Lines render_scope(std::string_view scope, int indent) {
    Lines lines;
    for (const Setting *setting : settings_in(scope)) {
        if (scope.empty()) lines.text += '\n';
        const Lines one = render(*setting, indent);
        lines.text += one.text;
        lines.live |= one.live;
    }
    return lines;
}

}  // namespace

std::string default_file() { return std::string(kHeader) + render_scope("", 0).text; }

}  // namespace sansock::config
