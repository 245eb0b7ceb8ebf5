#include "control/reload.hpp"

#include <unistd.h>

#include <chrono>
#include <set>
#include <thread>

#include "config/load.hpp"

namespace sansock::control {
namespace {

constexpr auto kAnswersWithin = std::chrono::seconds(5);

/// The configuration files of all processes, or what became of a reload of them.
class Configured final : public Agents::Visitor {
public:
    std::set<std::string> files;
    std::vector<wire::Reloaded> outcomes;
    bool answered = true;

    void process(const Agent &agent) override {
        // Of others the daemon opens nothing that they name: they look at their files themselves.
        const bool trusted = agent.who.uid == 0 || agent.who.uid == geteuid();
        if (!agent.config.empty() && trusted) files.insert(agent.config);
        wire::Reloaded outcome;
        outcome.pid = agent.who.pid;
        outcome.uid = static_cast<int32_t>(agent.who.uid);
        outcome.program = agent.program;
        outcome.config = agent.config;
        outcome.done = agent.reload == Agent::kReloaded;
        outcome.why = agent.reload == Agent::kUnanswered ? "it has not answered; it will when it goes on" : agent.why;
        answered &= agent.reload != Agent::kUnanswered;
        outcomes.push_back(std::move(outcome));
    }
    [[nodiscard]] bool wants(const Agent &) const override { return false; }
    void connection(const std::vector<const Agent *> &, const Agent &, const BoardView &, uint32_t) override {}
};

}  // namespace

/// A file that only the processes can see, in a container for instance, each of them checks for itself.
std::string faults_of_files(Agents &agents) {
    Configured configured;
    agents.visit(configured);
    std::string faults;
    for (const std::string &file : configured.files) {
        if (access(file.c_str(), R_OK) != 0) continue;
        const auto loaded = config::load_file(file);
        if (loaded.config) continue;
        for (const auto &fault : loaded.config.error()) faults += (faults.empty() ? "" : "\n") + fault.format();
    }
    return faults;
}

std::vector<wire::Reloaded> reload(Agents &agents, bool live) {
    agents.reload(live);
    const auto end = std::chrono::steady_clock::now() + kAnswersWithin;
    for (;;) {
        Configured now;
        agents.visit(now);
        if (now.answered || std::chrono::steady_clock::now() > end) return std::move(now.outcomes);
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

}  // namespace sansock::control
