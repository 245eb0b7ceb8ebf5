// `sansock check`: all that is wrong with a configuration file.
#include <errno.h>
#include <fmt/format.h>
#include <sansock/sdk/ext/draft/rdma_read.h>
#include <sansock/sdk/ext/draft/rdma_write.h>

#include <memory>
#include <string>
#include <vector>

#include "cli/complaint.hpp"
#include "cli/configuration.hpp"
#include "cli/verbs.hpp"
#include "plugin/host.hpp"

namespace sansock::cli {
namespace {

/// Plugins begin each fault with its place, and the framework has put their names before the first. A text without a place gets the
/// block's.
std::vector<std::string> faults_in(const std::string &text, const std::string &file, const std::string &origin) {
    const std::string place = file + ":", next = "; " + place;
    std::vector<std::string> faults;
    for (std::size_t at = text.find(place); at != std::string::npos;) {
        const std::size_t end = text.find(next, at);
        faults.push_back(text.substr(at, end == std::string::npos ? end : end - at));
        at = end == std::string::npos ? end : end + 2;
    }
    if (faults.empty()) faults.push_back(origin + ": " + text);
    return faults;
}

/// Only RDMA reads and writes avoid the copy.
void note_threshold(const config::Provider &provider, const plugin::Provider &opened) {
    if (provider.rdma_threshold == 0 || opened.extension<sansock_rdma_read_ops>(SANSOCK_EXT_DRAFT_RDMA_READ) != nullptr ||
        opened.extension<sansock_rdma_write_ops>(SANSOCK_EXT_DRAFT_RDMA_WRITE) != nullptr)
        return;
    fmt::print(stderr, "{}: note: rdma_threshold has no effect: plugin \"{}\" has neither RDMA reads nor writes\n", provider.origin,
               provider.plugin);
}

/// What the plugins find wrong with their own blocks: each installed one opens its provider as a connection would, and closes it again.
/// One that cannot be opened here for another reason is noted, for a file may serve many hosts.
bool plugins_agree(const std::string &file, const config::Config &config) {
    plugin::Host host(plugin::Catalog::scan(plugin::search_path()));
    bool agree = true;
    for (const config::Provider &provider : config.providers) {
        if (host.catalog().find(provider.plugin) == nullptr) continue;
        const auto opened = host.open(provider.plugin, provider.guid.text(), provider.block_yaml, provider.origin);
        if (opened) {
            note_threshold(provider, *opened);
            continue;
        }
        if (opened.error().code == EINVAL) {
            agree = false;
            for (const std::string &fault : faults_in(opened.error().text, file, provider.origin)) fmt::print(stderr, "{}\n", fault);
        } else {
            fmt::print(stderr, "{}: note: the provider cannot be opened here: {}\n", provider.origin, opened.error().text);
        }
    }
    return agree;
}

Status check(const std::string &file) {
    const auto config = load_and_report(file);
    if (!config || !plugins_agree(file, *config)) return kFindings;
    fmt::print("{}: fine ({} provider{}, {} route{})\n", file, config->providers.size(), config->providers.size() == 1 ? "" : "s",
               config->routes.size(), config->routes.size() == 1 ? "" : "s");
    return kOk;
}

}  // namespace

void add_check(CLI::App &app, Invocation &invocation) {
    CLI::App *verb = app.add_subcommand("check", "Say all that is wrong with a configuration file");
    auto file = std::make_shared<std::string>();
    verb->add_option("file", *file, "The configuration file")->required()->check(names_file());
    verb->callback([file, &invocation] { invocation.status = check(*file); });
}

}  // namespace sansock::cli
