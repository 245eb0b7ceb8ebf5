// The verbs of the command line. Each adds itself to the program, with what to do when it is the one that was chosen.
#pragma once
#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace sansock::cli {

/// What `sansock` exits with. `run` ends in the program's own status unless it cannot start it; then, as with env(1),
/// the status tells who failed: sansock, the exec, or the search for the program.
enum Status : int {
    kOk = 0,
    kFindings = 1,
    kUsage = 2,
    kRunFailed = 125,
    kCannotExecute = 126,
    kNotFound = 127,
};

/// One call of `sansock`.
struct Invocation {
    /// What stands behind `--`: another program's command line, which CLI11 must not take apart.
    std::vector<std::string> command;
    /// Where the verb that ran puts its outcome.
    Status status = kOk;
};

using AddVerb = void (*)(CLI::App &app, Invocation &invocation);

void add_run(CLI::App &app, Invocation &invocation);
void add_check(CLI::App &app, Invocation &invocation);
void add_config(CLI::App &app, Invocation &invocation);
void add_providers(CLI::App &app, Invocation &invocation);
void add_doctor(CLI::App &app, Invocation &invocation);
void add_status(CLI::App &app, Invocation &invocation);
void add_top(CLI::App &app, Invocation &invocation);
void add_explain(CLI::App &app, Invocation &invocation);
void add_reload(CLI::App &app, Invocation &invocation);
void add_drain(CLI::App &app, Invocation &invocation);
void add_undrain(CLI::App &app, Invocation &invocation);
void add_log_level(CLI::App &app, Invocation &invocation);
void add_pki(CLI::App &app, Invocation &invocation);
void add_import_registry(CLI::App &app, Invocation &invocation);
void add_export_registry(CLI::App &app, Invocation &invocation);
void add_bench(CLI::App &app, Invocation &invocation);

/// In the order of the help.
inline constexpr AddVerb kVerbs[] = {add_run, add_check,           add_config,          add_providers, add_doctor,  add_status,
                                     add_top, add_explain,         add_reload,          add_drain,     add_undrain, add_log_level,
                                     add_pki, add_import_registry, add_export_registry, add_bench};

}  // namespace sansock::cli
