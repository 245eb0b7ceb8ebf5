#include "cli/complaint.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <vector>

#include "config/suggest.hpp"

namespace sansock::cli {
namespace {

/// The commands of the command line, from `sansock` on.
std::vector<const CLI::App *> chosen(const CLI::App &app) {
    std::vector<const CLI::App *> apps{&app};
    for (auto below = app.get_subcommands(); !below.empty(); below = below.front()->get_subcommands()) apps.push_back(below.front());
    return apps;
}

std::vector<std::string> commands_of(const CLI::App &app) {
    std::vector<std::string> names;
    for (const CLI::App *command : app.get_subcommands([](const CLI::App *) { return true; })) names.push_back(command->get_name());
    return names;
}

std::vector<std::string> options_of(const CLI::App &app) {
    std::vector<std::string> names;
    for (const CLI::Option *option : app.get_options())
        for (const std::string &name : option->get_lnames()) names.push_back("--" + name);
    return names;
}

std::string meant(std::string_view word, const std::vector<std::string> &candidates) {
    const std::vector<std::string_view> known(candidates.begin(), candidates.end());
    const auto near = config::suggest(word, known);
    return near ? fmt::format(" (did you mean {}?)", *near) : "";
}

std::string about_unknown(const CLI::App &app, const std::string &word) {
    const bool runs = app.get_name() == "run";
    if (word.starts_with('-')) {
        const std::string name = word.substr(0, word.find('='));
        return fmt::format("{} is no option of {}{}{}", name, app.get_name(), meant(name, options_of(app)),
                           runs ? "; the program's own stand behind --" : "");
    }
    if (runs) return fmt::format("programs stand behind --: sansock run -- {}", word);
    const auto commands = commands_of(app);
    if (commands.empty()) return fmt::format("\"{}\" is an argument too many", word);
    return fmt::format("\"{}\" is no command of {}{}; there are {}", word, app.get_name(), meant(word, commands),
                       fmt::join(commands, ", "));
}

}  // namespace

std::string complaint(const CLI::App &app, const CLI::ParseError &error) {
    const auto apps = chosen(app);
    for (const CLI::App *each : apps)
        if (const auto words = each->remaining(); !words.empty()) return about_unknown(*each, words.front());

    const std::string text = error.what();
    if (dynamic_cast<const CLI::ArgumentMismatch *>(&error) != nullptr) {
        const std::string option = text.substr(0, text.find(':'));
        return text.ends_with("missing") ? option + " has no value" : option + " is given more than once";
    }
    const auto commands = commands_of(*apps.back());
    if (dynamic_cast<const CLI::RequiredError *>(&error) != nullptr && !commands.empty())
        return fmt::format("{} what? There are {}", apps.back()->get_name(), fmt::join(commands, ", "));
    return text;
}

CLI::Validator names_file() {
    return {[](std::string &name) { return name.empty() ? std::string("no file named") : std::string(); }, ""};
}

}  // namespace sansock::cli
