// `sansock log-level`: how much sansockd says.
#include <fmt/format.h>

#include <memory>

#include "cli/complaint.hpp"
#include "cli/verbs.hpp"
#include "control/client.hpp"

namespace sansock::cli {
namespace {

struct Options {
    std::string directory, level;
};

Status set(const Options &options) {
    std::string why;
    const auto asked = control::ask(options.directory, [&](control::wire::ManagementClient &daemon) {
        try {
            daemon.set_log_level(options.level);
        } catch (const control::wire::Refused &refused) {
            why = refused.why;
        }
    });
    if (!asked) why = asked.error().text;
    if (why.empty()) return kOk;
    fmt::print(stderr, "sansock: {}\n", why);
    return kFindings;
}

}  // namespace

void add_log_level(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("log-level", "Set how much sansockd says in its log");
    auto options = std::make_shared<Options>();
    verb->add_option("level", options->level, "error, warning, info or debug")->required();
    verb->add_option("--directory", options->directory, "Where the daemon's sockets are")->envname("SANSOCK_CONTROL")->check(names_file());
    verb->callback([options, &invocation] { invocation.status = set(*options); });
}

}  // namespace sansock::cli
