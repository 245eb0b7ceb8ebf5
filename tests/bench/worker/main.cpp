// sansock-bench-worker: one end of a measurement of `sansock bench`, which starts it as it is and under `sansock run`.
#include <signal.h>
#include <sys/prctl.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "roles.hpp"

int main(int argc, char **argv) {
    // Whoever started us does not leave us behind.
    prctl(PR_SET_PDEATHSIG, SIGKILL);

    CLI::App app("One end of a measurement of sansock bench");
    app.require_subcommand(1);
    std::string address;
    std::vector<std::size_t> numbers;
    double seconds = 1, rate = 0;

    const auto add = [&](const char *name, const char *what, auto run) {
        CLI::App *role = app.add_subcommand(name, what);
        role->add_option("address", address, "tcp:PORT, tcp:HOST:PORT or unix:NAME")->required();
        role->callback(run);
        return role;
    };
    const auto add_client = [&](const char *name, const char *what, bool has_numbers, auto run) {
        CLI::App *role = add(name, what, run);
        role->add_option("--seconds", seconds, "length of a measurement");
        if (has_numbers) role->add_option("--numbers", numbers, "sizes, or how many")->delimiter(',')->required();
        return role;
    };
    bool threads = false;
    add("serve", "Serve every other role until standard input ends", [&] {
        threads ? bench::serve_in_threads(address) : bench::serve(address);
    })->add_flag("--threads", threads, "latency and throughput alone, with no event loop, until killed");
    add_client("latency", "Round trips", true, [&] { bench::measure_latency(address, numbers, seconds); });
    add_client("throughput", "One stream", true, [&] { bench::measure_throughput(address, numbers, seconds); });
    add_client("connections", "Many connections", true, [&] { bench::measure_connections(address, numbers, seconds); });
    add_client("setup", "Connections of one request", false, [&] { bench::measure_setup(address, seconds); });
    add_client("idle", "Many connections at rest", true, [&] { bench::measure_idle(address, numbers.front(), seconds); });
    add_client("calls", "System calls and allocations", true, [&] {
        bench::measure_calls(address, numbers.front(), rate);
    })->add_option("--rate", rate, "messages a second; 0: at once");
    app.add_subcommand("hog", "Keep a CPU busy until standard input ends")->callback(bench::hog);
    CLI11_PARSE(app, argc, argv);
    return 0;
}
