// `sansock doctor`: whether this host can use RDMA, and what to do where it cannot.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>

#include "cli/complaint.hpp"
#include "cli/configuration.hpp"
#include "cli/examination.hpp"
#include "cli/verbs.hpp"
#include "plugin/host.hpp"

namespace sansock::cli {
namespace {

using Kind = Finding::Kind;

std::uint64_t locked_bytes_max() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return 0;
    return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

/// Each as a connection would open it.
void open_providers(const config::Config &config, std::vector<Finding> &findings) {
    plugin::Host host(plugin::Catalog::scan(plugin::search_path()));
    for (const config::Provider &provider : config.providers) {
        const std::string name = fmt::format("provider {} ({})", provider.guid.text(), provider.plugin);
        const auto opened = host.open(provider.plugin, provider.guid.text(), provider.block_yaml, provider.origin);
        if (opened) {
            findings.push_back({Kind::fine, name + " can be opened", ""});
        } else {
            findings.push_back({Kind::fault, name + " cannot be opened", opened.error().text});
        }
    }
}

Status examine_host(const std::string &file) {
    std::vector<Finding> findings = examine({.locked_bytes_max = locked_bytes_max()});
    if (!file.empty()) {
        const auto config = load_and_report(file);
        if (!config) return kFindings;
        open_providers(*config, findings);
    }
    for (const Finding &finding : findings) {
        constexpr const char *kKinds[] = {"fine ", "hint ", "FAULT"};
        fmt::print("{}  {}\n", kKinds[static_cast<std::size_t>(finding.kind)], finding.what);
        if (!finding.fix.empty()) fmt::print("         {}\n", finding.fix);
    }
    return std::ranges::any_of(findings, [](const Finding &each) { return each.kind == Kind::fault; }) ? kFindings : kOk;
}

}  // namespace

void add_doctor(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("doctor", "Say what stands in the way of RDMA providers on this host");
    auto file = std::make_shared<std::string>();
    verb->add_option("--config", *file, "Try to open the providers of this configuration file, too")->check(names_file());
    verb->callback([file, &invocation] { invocation.status = examine_host(*file); });
}

}  // namespace sansock::cli
