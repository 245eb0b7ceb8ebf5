// `sansock reload`: every process reads its configuration file anew.
#include <fmt/format.h>

#include <memory>

#include "cli/complaint.hpp"
#include "cli/verbs.hpp"
#include "control/client.hpp"

namespace sansock::cli {
namespace {

namespace wire = control::wire;

struct Options {
    std::string directory;
    bool live = false;
};

Status reload(const Options &options) {
    std::vector<wire::Reloaded> outcomes;
    const auto asked = control::ask(options.directory, [&](wire::ManagementClient &daemon) { daemon.reload(outcomes, options.live); });
    if (!asked) {
        fmt::print(stderr, "sansock: {}\n", asked.error().text);
        return kFindings;
    }
    std::size_t done = 0;
    for (const auto &outcome : outcomes) {
        done += outcome.done ? 1 : 0;
        if (!outcome.done) fmt::print(stderr, "{} (pid {}, uid {}): {}\n", outcome.program, outcome.pid, outcome.uid, outcome.why);
    }
    fmt::print("{} of {} process{} follow{} the configuration as it is now\n", done, outcomes.size(), outcomes.size() == 1 ? "" : "es",
               done == 1 ? "s" : "");
    return done == outcomes.size() ? kOk : kFindings;
}

}  // namespace

void add_reload(CLI::App &app, Invocation &invocation) {
    auto options = std::make_shared<Options>();
    CLI::App *verb = app.add_subcommand("reload", "Let every process read its configuration file anew");
    verb->add_flag("--live", options->live, "For the connections that are there already, too");
    verb->add_option("--directory", options->directory, "Where the daemon's sockets are")->envname("SANSOCK_CONTROL")->check(names_file());
    verb->callback([options, &invocation] { invocation.status = reload(*options); });
}

}  // namespace sansock::cli
