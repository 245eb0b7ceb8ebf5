// `sansock bench`: compares TCP, Unix sockets and sansock on this machine.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>

#include "cli/bench/measure.hpp"
#include "cli/complaint.hpp"
#include "cli/configuration.hpp"
#include "cli/verbs.hpp"

namespace sansock::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Options {
    std::string config;
    std::string json;
    bool quick = false;
    unsigned pairs = 0;
    std::vector<std::string> only;
};

/// A line that is written over on a terminal; elsewhere one at the beginning of each repetition.
class ProgressLine {
public:
    ProgressLine() = default;
    ProgressLine(const ProgressLine &) = delete;
    ProgressLine &operator=(const ProgressLine &) = delete;
    ~ProgressLine() {
        if (terminal_) fmt::print(stderr, "\r\033[K");
    }
    void show(const std::string &what, double share) {
        const std::string left = share < 0.02 ? "" : fmt::format(", {} left", duration(elapsed() * (1 - share) / share));
        if (terminal_) {
            fmt::print(stderr, "\r\033[K[{:3.0f} %] {}{}", 100 * share, what, left);
            std::fflush(stderr);
        } else if (const std::string part = what.substr(0, what.find(':')); part != part_) {
            part_ = part;
            fmt::print(stderr, "[{:3.0f} %] {}{}\n", 100 * share, part, left);
        }
    }

private:
    [[nodiscard]] double elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }
    static std::string duration(double seconds) {
        return seconds < 100 ? fmt::format("{:.0f} s", seconds) : fmt::format("{:.0f} min", seconds / 60);
    }

    Clock::time_point start_ = Clock::now();
    bool terminal_ = isatty(STDERR_FILENO) == 1;
    std::string part_;
};

fs::path find_worker(const fs::path &program) {
    std::string tried;
    for (const char *directory : {"../libexec/sansock", SANSOCK_LIBEXEC_FROM_BIN "/sansock"}) {
        const fs::path candidate = (program.parent_path() / directory / "sansock-bench-worker").lexically_normal();
        if (access(candidate.c_str(), X_OK) == 0) return candidate;
        tried += "\n  " + candidate.string();
    }
    throw std::runtime_error("sansock is not completely built or installed; looked for" + tried);
}

/// A directory that is gone when its owner is.
class ScratchDirectory {
public:
    ScratchDirectory() : path_((fs::temp_directory_path() / "sansock-bench-XXXXXX").string()) {
        if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot create " + path_);
    }
    ScratchDirectory(const ScratchDirectory &) = delete;
    ScratchDirectory &operator=(const ScratchDirectory &) = delete;
    ~ScratchDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    [[nodiscard]] const std::string &path() const { return path_; }

private:
    std::string path_;
};

Status run_bench(const Options &options) {
    // Better before the measurements than in each of their processes.
    if (!load_and_report(options.config)) return kFindings;
    if (!options.json.empty() && !std::ofstream(options.json, std::ios::app))
        throw std::runtime_error(fmt::format("cannot write {}: {}", options.json, std::strerror(errno)));
    const fs::path program = fs::read_symlink("/proc/self/exe");
    const ScratchDirectory scratch;
    const bench::Order order{.quick = options.quick,
                             .pairs = options.pairs != 0 ? options.pairs
                                      : options.quick    ? 1
                                                         : 11,
                             .only = options.only,
                             .sansock = program.string(),
                             .worker = find_worker(program).string(),
                             .directory = scratch.path()};
    if (!options.config.empty()) setenv("SANSOCK_CONFIG", fs::absolute(options.config).c_str(), 1);
    std::signal(SIGPIPE, SIG_IGN);  // A worker that ends is told by what it printed and its status.
    const bench::Results results = [&] {
        ProgressLine line;
        return bench::measure(order, [&](const std::string &what, double share) { line.show(what, share); });
    }();
    bench::print_table(results);
    if (!options.json.empty()) bench::write_json(results, options.json);
    return kOk;
}

}  // namespace

void add_bench(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("bench", "Compare TCP, Unix sockets and sansock on this machine");
    auto options = std::make_shared<Options>();
    verb->add_option("--config", options->config, "Configuration file; the embedded default without one")
        ->envname("SANSOCK_CONFIG")
        ->check(names_file());
    verb->add_option("--json", options->json, "File for every single value, and what follows from them")->check(names_file());
    verb->add_flag("--quick", options->quick, "Everything once and briefly, to see that it works");
    verb->add_option("--pairs", options->pairs, "How often to repeat everything; 11, or 1 with --quick")->check(CLI::Range(1, 1000));
    verb->add_option("--only", options->only, "What to measure: " + CLI::detail::join(bench::group_names(), ", "))
        ->delimiter(',')
        ->check(CLI::IsMember(bench::group_names()));
    verb->callback([options, &invocation] { invocation.status = run_bench(*options); });
}

}  // namespace sansock::cli
