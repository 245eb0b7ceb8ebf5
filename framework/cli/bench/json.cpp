#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "cli/bench/results.hpp"
#include "cli/bench/statistics.hpp"

namespace sansock::cli::bench {
namespace {

using nlohmann::ordered_json;

std::string processor() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("model name")) return line.substr(std::min(line.find(':') + 2, line.size()));
    }
    return "unknown";
}

ordered_json machine() {
    utsname name{};
    uname(&name);
    return {{"kernel", name.release}, {"architecture", name.machine}, {"processor", processor()}, {"cpus", sysconf(_SC_NPROCESSORS_ONLN)}};
}

std::string now() {
    const std::time_t time = std::time(nullptr);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&time));
    return text;
}

ordered_json to_json(const Estimate &is) { return {{"median", is.median}, {"low", is.low}, {"high", is.high}, {"coverage", is.coverage}}; }

ordered_json to_json(const Case &one, const std::vector<Figure> &figures) {
    ordered_json result{{"case", one.name}, {"number", one.number}};
    for (const Figure &figure : figures) {
        ordered_json values{{"unit", figure.unit}, {"more_is_better", figure.more_is_better}};
        for (const auto &[transport, samples] : one.values.at(figure.name)) {
            values[transport] = {{"median", estimate(samples).median}, {"samples", samples}};
        }
        if (figure.compared) {
            for (const char *transport : {"unix", "sansock", "control"}) {
                const auto times = ratios(one, figure, transport);
                if (!times.empty()) values["times_better_than_tcp"][transport] = to_json(estimate(times));
            }
        }
        result["figures"][figure.name] = std::move(values);
    }
    return result;
}

ordered_json to_json(const GroupResult &result) {
    ordered_json group{{"name", result.group.name}, {"title", result.group.title}};
    for (const Case &one : result.cases) group["cases"].push_back(to_json(one, result.group.figures));
    group["paths"] = {{"ends", result.paths.connections},
                      {"ends_moved", result.paths.upgraded},
                      {"bytes", {{"tcp", result.paths.tcp_bytes}, {"provider", result.paths.provider_bytes}}},
                      {"reasons", result.paths.reasons}};
    return group;
}

}  // namespace

void write_json(const Results &results, const std::string &file) {
    ordered_json all{{"sansock", SANSOCK_VERSION}, {"time", now()},          {"machine", machine()},
                     {"quick", results.quick},     {"pairs", results.pairs}, {"others_cpu_share", results.others}};
    for (const GroupResult &group : results.groups) all["groups"].push_back(to_json(group));
    std::ofstream out(file);
    out << all.dump(2) << '\n';
    if (!out.flush()) throw std::runtime_error("cannot write " + file);
}

}  // namespace sansock::cli::bench
