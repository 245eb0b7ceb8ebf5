// `sansock check`: all that is wrong with a configuration file.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/configuration.hpp"
#include "cli/verbs.hpp"

namespace sansock::cli {
namespace {

Status check(const std::string &file) {
    const auto config = load_and_report(file);
    if (!config) return kFindings;
    fmt::print("{}: fine ({} provider{}, {} route{})\n", file, config->providers.size(),
               config->providers.size() == 1 ? "" : "s", config->routes.size(), config->routes.size() == 1 ? "" : "s");
    return kOk;
}

}  // namespace

void add_check(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("check", "Say all that is wrong with a configuration file");
    auto file = std::make_shared<std::string>();
    verb->add_option("file", *file, "The configuration file")->required();
    verb->callback([file, &invocation] { invocation.status = check(*file); });
}

}  // namespace sansock::cli
