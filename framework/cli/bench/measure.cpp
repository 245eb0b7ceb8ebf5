#include "cli/bench/measure.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>

#include "cli/bench/child.hpp"

namespace sansock::cli::bench {
namespace {

using nlohmann::json;
using Seconds = std::chrono::duration<double>;

/// Other programs' share of the CPU time above which a repetition is made again, once.
constexpr double kDisturbed = 0.1;
constexpr Seconds kPatience{30};  ///< Beyond what a step takes; a loaded machine may need some of it.

double cpu_seconds_of(int who) {
    rusage usage{};
    getrusage(who, &usage);
    const auto seconds = [](const timeval &t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// The share of the machine's CPU time that was neither idle nor ours.
class Others {
public:
    [[nodiscard]] double share() const {
        const double all = static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)) * Seconds(std::chrono::steady_clock::now() - start_).count();
        return std::clamp((busy_seconds() - busy_ - (ours() - ours_)) / all, 0.0, 1.0);
    }

private:
    static double ours() { return cpu_seconds_of(RUSAGE_SELF) + cpu_seconds_of(RUSAGE_CHILDREN); }
    static double busy_seconds() {
        std::ifstream file("/proc/stat");
        std::string cpu;
        double user = 0, nice = 0, system = 0;
        file >> cpu >> user >> nice >> system;
        return (user + nice + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
    }

    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
    double busy_ = busy_seconds();
    double ours_ = ours();
};

class Bench {
public:
    Bench(const Order &order, const Progress &progress) : order_(order), progress_(progress) {
        results_.quick = order.quick;
        results_.pairs = order.pairs;
        for (Group &group : plan(order.quick)) {
            if (!order.only.empty() && std::ranges::find(order.only, group.name) == order.only.end()) continue;
            for (const Step &step : group.steps) seconds_in_all_ += seconds_of(group, step) * repeats(group);
            results_.groups.push_back({std::move(group), {}, {}});
        }
    }

    Results run() {
        for (unsigned pair = 0; pair < order_.pairs; ++pair) repeat(pair);
        for (GroupResult &group : results_.groups) {
            read_report(group);
            if (group.group.moves && group.paths.provider_bytes == 0) {
                throw std::runtime_error(
                    fmt::format("over sansock no byte of {} took a provider; its figures would compare TCP with TCP", group.group.name));
            }
        }
        return std::move(results_);
    }

private:
    /// The cases of one step in their order: the number, and the values of the figures.
    using Values = std::vector<std::pair<std::string, std::map<std::string, double>>>;

    [[nodiscard]] unsigned repeats(const Group &group) const { return std::min(order_.pairs, group.repeats_max); }
    static std::vector<std::string> transports(const Group &group) {
        std::vector<std::string> all(std::begin(kTransports), std::end(kTransports));
        if (!group.is_compared()) all.pop_back();
        return all;
    }
    static double seconds_of(const Group &group, const Step &step) {
        return step.seconds_in_all() * static_cast<double>(transports(group).size());
    }
    [[nodiscard]] std::string report_of(const Group &group) const { return order_.directory + "/" + group.name + ".jsonl"; }

    /// Whoever goes first meets a different machine, so the order changes with each repetition.
    void repeat(unsigned pair) {
        double worst = 0;
        for (GroupResult &result : results_.groups) {
            if (pair >= repeats(result.group)) continue;
            for (const Step &step : result.group.steps) {
                const double done = seconds_done_;
                auto [values, others] = run_once(result, step, pair);
                if (others > kDisturbed && !order_.quick) {
                    seconds_done_ = done;
                    auto [again, others_again] = run_once(result, step, pair);
                    if (others_again < others) {
                        values = std::move(again);
                        others = others_again;
                    }
                }
                worst = std::max(worst, others);
                for (const auto &[transport, of_transport] : values) keep(result, step, transport, of_transport);
            }
        }
        results_.others.push_back(worst);
    }

    std::pair<std::map<std::string, Values>, double> run_once(GroupResult &result, const Step &step, unsigned pair) {
        const Others others;
        std::map<std::string, Values> values;
        std::vector<std::string> all = transports(result.group);
        std::ranges::rotate(all, all.begin() + pair % static_cast<std::ptrdiff_t>(all.size()));
        std::vector<Child> hogs;
        for (long i = 0; i < step.hogs_per_cpu * sysconf(_SC_NPROCESSORS_ONLN); ++i)
            hogs.emplace_back(std::vector<std::string>{order_.worker, "hog"});
        for (const std::string &transport : all) {
            progress_(fmt::format("repetition {} of {}: {} over {}", pair + 1, order_.pairs, result.group.name, transport),
                      seconds_done_ / seconds_in_all_);
            values[transport] = run_step(result, step, transport);
            seconds_done_ += step.seconds_in_all();
        }
        for (Child &hog : hogs) hog.finish();
        return {std::move(values), others.share()};
    }

    [[nodiscard]] std::vector<std::string> command(const Group &group, const std::string &transport) const {
        if (transport != "sansock") return {order_.worker};
        return {order_.sansock, "run", "--report", report_of(group), "--", order_.worker};
    }

    Values run_step(GroupResult &result, const Step &step, const std::string &transport) {
        const Seconds patience = kPatience + Seconds(step.seconds_in_all() * 4);
        const auto with = [](std::vector<std::string> words, std::initializer_list<std::string> more) {
            words.insert(words.end(), more);
            return words;
        };
        const std::vector<std::string> prefix = command(result.group, transport);
        const std::string asked = transport == "unix" ? fmt::format("unix:sansock-bench-{}", getpid()) : "tcp:0";
        Child server(with(prefix, {"serve", asked}));
        const std::string ready = server.expect_line(patience);
        if (!ready.starts_with("ready ")) throw std::runtime_error("the server says: " + ready);

        auto words = with(prefix, {step.role, ready.substr(6), "--seconds", fmt::format("{}", step.seconds)});
        if (!step.numbers.empty()) words = with(std::move(words), {"--numbers", fmt::format("{}", fmt::join(step.numbers, ","))});
        if (step.rate > 0) words = with(std::move(words), {"--rate", fmt::format("{}", step.rate)});
        Child client(words);
        Values values = read_cases(client, patience);
        client.finish();
        server.finish();
        return values;
    }

    static Values read_cases(Child &client, Seconds patience) {
        Values values;
        while (const auto line = client.read_line(patience)) {
            json one = json::parse(*line);
            const std::string number = one.at("case");
            one.erase("case");
            values.emplace_back(number, one.get<std::map<std::string, double>>());
        }
        return values;
    }

    static void keep(GroupResult &result, const Step &step, const std::string &transport, const Values &values) {
        for (const auto &[number, figures] : values) {
            const std::string name = step.case_name(number);
            auto at = std::ranges::find(result.cases, name, &Case::name);
            if (at == result.cases.end()) at = result.cases.insert(at, Case{name, number, {}});
            for (const Figure &figure : result.group.figures) at->values[figure.name][transport].push_back(figures.at(figure.name));
        }
    }

    void read_report(GroupResult &result) const {
        std::ifstream file(report_of(result.group));
        for (std::string line; std::getline(file, line);) {
            const json one = json::parse(line);
            ++result.paths.connections;
            if (one.at("upgrades") > 0) ++result.paths.upgraded;
            if (one.at("upgrades") == 0 && one.at("reason").is_string()) ++result.paths.reasons[one.at("reason")];
            for (const char *direction : {"bytes_sent", "bytes_received"}) {
                result.paths.tcp_bytes += one.at(direction).at("tcp").get<std::uint64_t>();
                result.paths.provider_bytes += one.at(direction).at("provider").get<std::uint64_t>();
            }
        }
    }

    const Order &order_;
    const Progress &progress_;
    Results results_;
    double seconds_in_all_ = 0;
    double seconds_done_ = 0;
};

}  // namespace

Results measure(const Order &order, const Progress &progress) { return Bench(order, progress).run(); }

}  // namespace sansock::cli::bench
