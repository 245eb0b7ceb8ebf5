#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string_view>
#include <vector>

#include "cli/complaint.hpp"
#include "cli/verbs.hpp"

namespace sansock::cli {
namespace {

/// Takes what stands behind `--` off a command line of `run`, and the `--` with it.
int split_off_command(int argc, char **argv, std::vector<std::string> &command) {
    if (argc < 2 || std::string_view(argv[1]) != "run") return argc;
    char **const end = argv + argc;
    char **const dashes = std::find(argv, end, std::string_view("--"));
    if (dashes == end) return argc;
    command.assign(dashes + 1, end);
    return static_cast<int>(dashes - argv);
}

Status run_verb(int argc, char **argv) {
    CLI::App app("Runs programs with their TCP connections on shared memory.", "sansock");
    app.set_version_flag("--version", "sansock " SANSOCK_VERSION);
    app.require_subcommand(1);
    app.footer(
        "Exit status: 0 fine, 1 something to report, 2 wrong usage.\n"
        "`run` has that of the program, or 125 when sansock failed, 126 when the program\n"
        "cannot be executed, 127 when there is none.");

    Invocation invocation;
    argc = split_off_command(argc, argv, invocation.command);
    for (const AddVerb add : kVerbs) add(app, invocation);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
        // Asking for help or the version is such an "error" too, with status 0.
        if (error.get_exit_code() == 0) return app.exit(error) == 0 ? kOk : kUsage;
        std::fprintf(stderr, "sansock: %s\nRun with --help for more information.\n", complaint(app, error).c_str());
        return kUsage;
    }
    return invocation.status;
}

}  // namespace
}  // namespace sansock::cli

int main(int argc, char **argv) {
    using namespace sansock::cli;
    try {
        const Status status = run_verb(argc, argv);
        if (std::fflush(stdout) == 0) return status;
        std::perror("sansock: cannot write the output");
    } catch (const std::exception &error) {
        std::fprintf(stderr, "sansock: %s\n", error.what());
    }
    return kFindings;
}
