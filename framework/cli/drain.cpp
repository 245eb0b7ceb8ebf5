// `sansock drain` and `undrain`: connections off a provider, so that its plugin can be replaced, and back.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <thread>

#include "cli/complaint.hpp"
#include "cli/verbs.hpp"
#include "control/client.hpp"

namespace sansock::cli {
namespace {

namespace wire = control::wire;
using Clock = std::chrono::steady_clock;

constexpr auto kLookEvery = std::chrono::milliseconds(50);

struct Options {
    std::string directory, guid;
    double timeout_s = 30;
};

Status failed(const Error &error) {
    fmt::print(stderr, "sansock: {}\n", error.text);
    return kFindings;
}

/// How many connections are still on the provider, written over as it changes.
void show_progress(const wire::Drains &drains) {
    if (isatty(STDERR_FILENO) == 0) return;
    int connections = 0;
    for (const auto &straggler : drains.stragglers) connections += straggler.connections;
    fmt::print(stderr, "\r  {} connections of {} processes to go \x1b[K", connections, drains.stragglers.size());
}

void print_stragglers(const wire::Drains &drains) {
    for (const auto &straggler : drains.stragglers) {
        fmt::print(stderr, "  {} (pid {}, uid {}): {}\n", straggler.program, straggler.pid, straggler.uid,
                   straggler.in_use
                       ? "no connection is left, but the plugin is in use still"
                       : fmt::format("{} connection{} on the provider", straggler.connections, straggler.connections == 1 ? "" : "s"));
    }
}

bool all_in_use(const wire::Drains &drains) {
    return std::ranges::all_of(drains.stragglers, [](const wire::Straggler &straggler) { return straggler.in_use; });
}

Status wait_until_done(const Options &options) {
    const auto end = Clock::now() + std::chrono::duration<double>(options.timeout_s);
    wire::Drains drains;
    for (;;) {
        const auto asked = control::ask(options.directory, [&](wire::ManagementClient &daemon) { daemon.drains(drains); });
        if (!asked) return failed(asked.error());
        if (drains.stragglers.empty() || Clock::now() >= end) break;
        show_progress(drains);
        std::this_thread::sleep_for(kLookEvery);
    }
    if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\x1b[K");
    if (drains.stragglers.empty()) {
        fmt::print("provider {} is drained in {} process{}; its plugin can be replaced\n", options.guid, drains.processes,
                   drains.processes == 1 ? "" : "es");
        return kOk;
    }
    fmt::print(stderr, "sansock: after {} s, {}; it stays drained:\n", options.timeout_s,
               all_in_use(drains) ? "all connections are on TCP, but the plugin cannot be replaced in" : "some processes have not done it");
    print_stragglers(drains);
    return kFindings;
}

Status drain(const Options &options) {
    const auto asked = control::ask(options.directory, [&](wire::ManagementClient &daemon) { daemon.drain(options.guid); });
    return asked ? wait_until_done(options) : failed(asked.error());
}

Status undrain(const Options &options) {
    const auto asked = control::ask(options.directory, [&](wire::ManagementClient &daemon) { daemon.undrain(options.guid); });
    if (!asked) return failed(asked.error());
    fmt::print("provider {} takes connections again\n", options.guid);
    return kOk;
}

CLI::App *add_verb(CLI::App &app, const char *name, const char *what, const std::shared_ptr<Options> &options) {
    CLI::App *verb = app.add_subcommand(name, what);
    verb->add_option("guid", options->guid, "The provider")->required();
    verb->add_option("--directory", options->directory, "Where the daemon's sockets are")->envname("SANSOCK_CONTROL")->check(names_file());
    return verb;
}

}  // namespace

void add_drain(CLI::App &app, Invocation &invocation) {
    auto options = std::make_shared<Options>();
    CLI::App *verb = add_verb(app, "drain", "Move all connections of a provider to TCP, and let none to it", options);
    verb->add_option("--timeout", options->timeout_s, "Seconds to wait until all have moved")
        ->check(CLI::Range(0.0, 86400.0))
        ->capture_default_str();
    verb->callback([options, &invocation] { invocation.status = drain(*options); });
}

void add_undrain(CLI::App &app, Invocation &invocation) {
    auto options = std::make_shared<Options>();
    add_verb(app, "undrain", "Let connections to a drained provider again", options)->callback([options, &invocation] {
        invocation.status = undrain(*options);
    });
}

}  // namespace sansock::cli
