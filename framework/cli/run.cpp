// `sansock run`: executes a program with the preload library in it.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/Formatter.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "cli/complaint.hpp"
#include "cli/configuration.hpp"
#include "cli/program.hpp"
#include "cli/verbs.hpp"

namespace sansock::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
    std::string config;
    std::string report;
};

Status failed(Status status, const std::string &text) {
    fmt::print(stderr, "sansock: {}\n", text);
    return status;
}

/// The preload library that belongs to this program, in the build tree or as installed.
Result<fs::path> find_preload_library() {
    const fs::path directory = fs::read_symlink("/proc/self/exe").parent_path();
    std::string tried;
    for (const char *libraries : {"../lib", SANSOCK_LIB_FROM_BIN}) {
        const fs::path candidate = (directory / libraries / "libsansock_preload.so").lexically_normal();
        std::error_code error;
        const fs::path library = fs::canonical(candidate, error);
        if (error) {
            tried += "\n  " + candidate.string();
        } else if (library.string().find_first_of(": ") != std::string::npos) {
            return fail(EINVAL, fmt::format("LD_PRELOAD cannot hold a path with a space or colon; move {} elsewhere", library.string()));
        } else {
            return library;
        }
    }
    return fail(ENOENT, "the preload library is missing, sansock is not completely built or installed; looked for" + tried);
}

/// Puts the library before those that are there already. Once is enough, however often `sansock run` is nested.
void preload(const std::string &library) {
    const char *before = std::getenv("LD_PRELOAD");
    const std::string others = before != nullptr ? before : "";
    if (others == library || others.starts_with(library + ':')) return;
    setenv("LD_PRELOAD", (others.empty() ? library : library + ':' + others).c_str(), 1);
}

void set_or_unset(const char *name, const std::string &value) {
    if (value.empty()) {
        unsetenv(name);
    } else {
        setenv(name, value.c_str(), 1);
    }
}

/// Many processes will append to it, and none of them could tell anybody that it cannot.
Result<void> try_report(const std::string &file) {
    const UniqueFd fd(open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666));
    if (!fd) return fail_errno("cannot write the report " + file);
    return {};
}

Status execute(const std::vector<std::string> &command) {
    std::vector<char *> arguments;
    for (const std::string &argument : command) arguments.push_back(const_cast<char *>(argument.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    const int code = errno;
    return failed(code == ENOENT ? kNotFound : kCannotExecute, fmt::format("cannot execute {}: {}", command[0], std::strerror(code)));
}

Status run(const Options &options, const std::vector<std::string> &command) {
    const auto config = load_and_report(options.config);
    if (!config) return kRunFailed;
    const auto library = find_preload_library();
    if (!library) return failed(kRunFailed, library.error().text);
    if (!options.report.empty()) {
        if (const auto tried = try_report(options.report); !tried) return failed(kRunFailed, tried.error().text);
    }
    const auto program = find_program(command.front());
    if (!program) return failed(program.error().code == ENOENT ? kNotFound : kCannotExecute, program.error().text);
    if (const auto reason = why_not_preloadable(*program))
        fmt::print(stderr, "sansock: warning: {}; its connections stay on TCP\n", *reason);

    preload(library->string());
    set_or_unset("SANSOCK_CONFIG", options.config.empty() ? "" : fs::absolute(options.config).string());
    set_or_unset("SANSOCK_REPORT", options.report.empty() ? "" : fs::absolute(options.report).string());
    set_or_unset("SANSOCK_REQUIRE", options.config.empty() ? "" : config::requires_upgrade(*config) ? "1" : "0");
    return execute(command);
}

/// The parser does not know of what stands behind `--`.
class UsageOfRun : public CLI::Formatter {
public:
    [[nodiscard]] std::string make_usage(const CLI::App *app, std::string name) const override {
        std::string usage = CLI::Formatter::make_usage(app, std::move(name));
        return usage.insert(usage.find_last_not_of('\n') + 1, " -- PROGRAM [ARGS...]");
    }
};

}  // namespace

void add_run(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("run", "Run a program with its connections on providers");
    auto options = std::make_shared<Options>();
    verb->add_option("--config", options->config, "Configuration file; the embedded default without one")
        ->envname("SANSOCK_CONFIG")
        ->check(names_file());
    verb->add_option("--report", options->report, "File to append a line of JSON to for every connection that ends")
        ->envname("SANSOCK_REPORT")
        ->check(names_file());
    verb->formatter(std::make_shared<UsageOfRun>());
    verb->footer("The program and its arguments stand behind --: sansock run -- redis-server --port 7000");
    verb->callback([options, &invocation] {
        if (invocation.command.empty()) throw CLI::RequiredError("a program, written behind --,");
        invocation.status = run(*options, invocation.command);
    });
}

}  // namespace sansock::cli
