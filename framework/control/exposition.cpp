#include "control/exposition.hpp"

#include <fmt/format.h>

namespace sansock::control {
namespace {

std::string escaped(std::string_view value) {
    std::string out;
    for (const char c : value) {
        if (c == '\n') {
            out += "\\n";
        } else if (static_cast<unsigned char>(c) >= 0x80) {  // it may be no UTF-8, and Prometheus would take none of the rest
            out += fmt::format("\\\\x{:02x}", static_cast<unsigned char>(c));
        } else {
            if (c == '\\' || c == '"') out += '\\';
            out += c;
        }
    }
    return out;
}

}  // namespace

void Exposition::family(std::string_view name, std::string_view type, std::string_view unit, std::string_view help) {
    name_ = name;
    text_ += fmt::format("# TYPE {} {}\n", name, type);
    if (!unit.empty()) text_ += fmt::format("# UNIT {} {}\n", name, unit);
    text_ += fmt::format("# HELP {} {}\n", name, escaped(help));
}

void Exposition::line(std::string_view suffix, Labels labels, std::string_view bound, std::string_view value) {
    std::string list;
    for (const auto &[name, text] : labels) list += fmt::format("{}{}=\"{}\"", list.empty() ? "" : ",", name, escaped(text));
    if (!bound.empty()) list += fmt::format("{}le=\"{}\"", list.empty() ? "" : ",", bound);
    text_ += list.empty() ? fmt::format("{}{} {}\n", name_, suffix, value) : fmt::format("{}{}{{{}}} {}\n", name_, suffix, list, value);
}

void Exposition::sample(std::string_view suffix, Labels labels, double value) { line(suffix, labels, "", fmt::format("{}", value)); }
void Exposition::sample(std::string_view suffix, Labels labels, uint64_t value) { line(suffix, labels, "", fmt::format("{}", value)); }

void Exposition::histogram(Labels labels, std::span<const std::string_view> bounds, std::span<const uint64_t> counts, double sum) {
    uint64_t below = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
        below += counts[i];
        line("_bucket", labels, i < bounds.size() ? bounds[i] : "+Inf", fmt::format("{}", below));
    }
    line("_count", labels, "", fmt::format("{}", below));
    line("_sum", labels, "", fmt::format("{}", sum));
}

std::string Exposition::finish() && { return std::move(text_) + "# EOF\n"; }

}  // namespace sansock::control
