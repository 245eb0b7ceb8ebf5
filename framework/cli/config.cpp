// `sansock config`: what can be configured.
#include <fmt/format.h>

#include <memory>
#include <string>

#include "cli/verbs.hpp"
#include "config/describe.hpp"

namespace sansock::cli {
namespace {

Status explain(const std::string &key) {
    const auto text = config::explain(key);
    if (!text) {
        fmt::print(stderr, "sansock: {}\n", text.error().text);
        return kUsage;
    }
    fmt::print("{}", *text);
    return kOk;
}

}  // namespace

void add_config(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("config", "Say what can be configured, and how");
    verb->require_subcommand(1);

    CLI::App *explaining = verb->add_subcommand("explain", "Explain a setting, or all of them");
    auto key = std::make_shared<std::string>();
    explaining->add_option("key", *key, "A path such as routes[].port, or the end of one");
    explaining->callback([key, &invocation] { invocation.status = explain(*key); });

    verb->add_subcommand("generate", "Print a commented configuration file with all defaults")->callback([] {
        fmt::print("{}", config::default_file());
    });
    verb->add_subcommand("schema", "Print a JSON schema of configuration files")->callback([] { fmt::print("{}", config::schema()); });
}

}  // namespace sansock::cli
