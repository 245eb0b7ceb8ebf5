// sansockd: where the processes of a host show themselves, and operators look at them. Never on a connection's path.
#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "control/agents.hpp"
#include "control/http.hpp"
#include "control/log.hpp"
#include "control/management.hpp"
#include "control/reload.hpp"
#include "control/rendezvous.hpp"

namespace sansock::control {
namespace {

struct Options {
    std::string directory = socket::kControlDirectory;
    std::string group;
    std::string http;
    Rendezvous::Options rendezvous;
    std::string level = "info";
    bool journald = false;
};

/// Held for as long as the daemon runs: its sockets are its own while it has the lock, and those that it finds are of one that is dead.
Result<UniqueFd> take_directory(const std::string &directory) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return fail(error.value(), fmt::format("cannot make {}: {}", directory, error.message()));
    UniqueFd lock(open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) return fail_errno(fmt::format("cannot open {}/lock", directory));
    if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return fail(EBUSY, fmt::format("another sansockd runs in {}", directory));
    return lock;
}

Result<UniqueFd> listen_for_agents(const std::string &directory) {
    sockaddr_un address;
    if (!socket::control_address(directory.c_str(), socket::kAgentSocket, address))
        return fail(ENAMETOOLONG, fmt::format("the name of the directory {} is too long for a socket; allowed: {} bytes", directory,
                                              sizeof address.sun_path - sizeof "/management"));
    UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    unlink(address.sun_path);
    if (!listener || bind(listener.get(), reinterpret_cast<sockaddr *>(&address), sizeof address) != 0 ||
        chmod(address.sun_path, 0666) != 0 || listen(listener.get(), SOMAXCONN) != 0)
        return fail_errno(fmt::format("cannot listen at {}", address.sun_path));
    return listener;
}

int fail_with(const Error &error) {
    spdlog::error("{}", error.text);
    return 1;
}

/// Serves operators for as long as it lives. Thrift's server ends when a caller cannot be accepted, for want of descriptors say: then
/// there is another one.
class Operators {
public:
    Operators(std::string path, Agents &agents, Drained &drained, const Access &access)
        : thread_([this, path = std::move(path), &agents, &drained, access] {
              while (!stopped_) {
                  unlink(path.c_str());
                  {
                      const std::scoped_lock lock(mutex_);
                      server_ = make_management_server(path, agents, drained, access);
                  }
                  try {
                      server_->serve();
                  } catch (const std::exception &error) {
                      spdlog::error("cannot listen at {}: {}", path, error.what());
                  }
                  if (!stopped_) std::this_thread::sleep_for(kAgainAfter);
              }
              ended_ = true;
          }) {}
    void stop() {
        stopped_ = true;
        while (!ended_) {  // one that has not begun yet does not hear it
            {
                const std::scoped_lock lock(mutex_);
                if (server_) server_->stop();
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }

private:
    static constexpr auto kAgainAfter = std::chrono::milliseconds(200);

    std::atomic<bool> stopped_{false}, ended_{false};
    std::mutex mutex_;
    std::unique_ptr<apache::thrift::server::TServer> server_;
    std::jthread thread_;
};

/// What a process says may have lines, which in the log would look like the daemon's own.
std::string in_a_line(std::string text) {
    std::ranges::replace(text, '\n', ' ');
    return text;
}

/// As `sansock reload`, for whoever is used to signals.
void reload_on_signal(Agents &agents) {
    if (const std::string faults = faults_of_files(agents); !faults.empty()) return spdlog::error("nothing was changed:\n{}", faults);
    size_t done = 0, all = 0;
    for (const auto &outcome : reload(agents, false)) {
        ++all;
        done += outcome.done ? 1 : 0;
        if (!outcome.done)
            spdlog::warn("{} (uid {}, pid {}) has not read its configuration anew: {}", outcome.program, outcome.uid, outcome.pid,
                         in_a_line(outcome.why));
    }
    spdlog::info("{} of {} processes have read their configuration anew", done, all);
}

int run(const Options &options) {
    Access access;
    if (!options.group.empty()) {
        const group *found = getgrnam(options.group.c_str());
        if (found == nullptr) return fail_with({ENOENT, fmt::format("there is no group {}", options.group)});
        access.group = found->gr_gid;
    }
    sigset_t awaited;
    sigemptyset(&awaited);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&awaited, number);
    pthread_sigmask(SIG_BLOCK, &awaited, nullptr);  // before any thread, so that all of them leave the signals to this one
    signal(SIGPIPE, SIG_IGN);
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {  // two for each process
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    const auto lock = take_directory(options.directory);
    if (!lock) return fail_with(lock.error());
    auto listener = listen_for_agents(options.directory);
    if (!listener) return fail_with(listener.error());
    const std::string management = options.directory + "/" + socket::kManagementSocket;

    auto drained = Drained::load(options.directory + "/drained");
    if (!drained) return fail_with(drained.error());

    const UniqueFd stop(eventfd(0, EFD_CLOEXEC));
    Agents agents(std::move(*listener));
    std::unique_ptr<HttpServer> http;
    if (!options.http.empty()) {
        auto listening = HttpServer::listen(options.http, agents);
        if (!listening) return fail_with(listening.error());
        http = std::move(*listening);
    }
    std::unique_ptr<Rendezvous> rendezvous;
    if (!options.rendezvous.service.empty()) {
        auto started = Rendezvous::start(options.rendezvous);
        if (!started) return fail_with(started.error());
        rendezvous = std::move(*started);
        agents.set_rendezvous(rendezvous.get());
    }
    agents.set_drained(drained->guids());
    std::jthread serving_agents([&] { agents.serve(stop.get()); });
    Operators operators(management, agents, *drained, access);
    std::atomic<bool> ended{false};
    std::jthread serving_http([&] {
        if (!http || http->serve() || ended) return;
        spdlog::error("its page cannot be served any more");
        std::_Exit(1);  // whoever has started it starts it again
    });
    spdlog::info("sansockd {} listens in {}", SANSOCK_VERSION, options.directory);
    if (http) spdlog::info("its page is at http://{}/, metrics at http://{}/metrics", http->where(), http->where());
    if (rendezvous) spdlog::info("other hosts meet it at {}", rendezvous->where());
    sd_notify(0, "READY=1");
    int signal = 0;
    while (sigwait(&awaited, &signal) != 0 || signal == SIGHUP) {
        if (signal != SIGHUP) continue;
        if (rendezvous) rendezvous->reload();
        reload_on_signal(agents);
    }
    ended = true;
    sd_notify(0, "STOPPING=1");
    spdlog::info("ends on {}", strsignal(signal));
    operators.stop();
    if (http) http->stop();
    spdlog::default_logger()->flush();  // which other threads may still use
    std::_Exit(0);                      // not waiting for callers who take their time
}

}  // namespace
}  // namespace sansock::control

int main(int count, char **arguments) {
    using namespace sansock::control;
    open_log(false);
    CLI::App app("The daemon of sansock: shows operators the connections of this host.", "sansockd");
    app.set_version_flag("--version", "sansockd " SANSOCK_VERSION);
    Options options;
    app.add_option("--directory", options.directory, "Where its sockets are")->envname("SANSOCK_CONTROL")->capture_default_str();
    app.add_option("--group", options.group, "Whose members may see all processes, as root may");
    app.add_option("--http", options.http, "Address and port of the status page and the metrics, which whoever reaches it can read");
    auto *const rendezvous =
        app.add_option("--rendezvous", options.rendezvous.service, "Address and port at which daemons of other hosts ask, as 0.0.0.0:7470");
    app.add_option("--channels", options.rendezvous.channels,
                   "Address and port to which their processes connect; the next port unless told")
        ->needs(rendezvous);
    app.add_option("--pki", options.rendezvous.pki, "Where ca.pem, host.pem, host.key and crl.pem are")
        ->needs(rendezvous)
        ->capture_default_str();
    app.add_option("--log-level", options.level, "How much to say")
        ->check(CLI::IsMember({"error", "warning", "info", "debug"}))
        ->capture_default_str();
    app.add_flag("--journald", options.journald, "Log to journald itself, instead of standard error");
    CLI11_PARSE(app, count, arguments);
    if (options.journald) open_log(true);
    set_log_level(options.level);
    return run(options);
}
