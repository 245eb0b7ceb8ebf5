// `sansock providers`: which plugins are installed, and the devices that those for RDMA can use. Reads their manifests and loads none of
// them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/printable.hpp"
#include "cli/columns.hpp"
#include "cli/rdma_ports.hpp"
#include "cli/verbs.hpp"
#include "plugin/catalog.hpp"

namespace sansock::cli {
namespace {

/// Every text of a row but the port is a name that `options.device` takes.
void list_devices() {
    std::vector<std::vector<std::string>> rows;
    for (const RdmaPort &port : rdma_ports("/sys")) {
        rows.push_back({port.device, port.port, port.kind_text(), port.is_active() ? "active" : "down", port.interface, port.node_guid,
                        fmt::format("{}", fmt::join(port.gids, " "))});
    }
    if (rows.empty()) return;
    fmt::print("\n{}", in_columns({{"DEVICE"}, {"PORT"}, {"KIND"}, {"STATE"}, {"INTERFACE"}, {"NODE GUID"}, {"GIDS"}}, rows));
}

Status list_providers() {
    const auto catalog = plugin::Catalog::scan(plugin::search_path());
    std::vector<std::vector<std::string>> rows;
    for (const plugin::Manifest &manifest : catalog.plugins()) {
        rows.push_back({printable(manifest.name), printable(manifest.version), fmt::format("{}.{}", manifest.abi_major, manifest.abi_minor),
                        manifest.guids.empty() ? "any" : fmt::format("{}", fmt::join(manifest.guids, " ")),
                        printable(manifest.description)});
    }
    fmt::print("{}", in_columns({{"PLUGIN"}, {"VERSION"}, {"ABI"}, {"GUIDS"}, {"DESCRIPTION"}}, rows));
    list_devices();
    for (const auto &problem : catalog.problems()) fmt::print(stderr, "sansock: {}\n", printable(problem.text));
    return catalog.problems().empty() ? kOk : kFindings;
}

}  // namespace

void add_providers(CLI::App &app, Invocation &invocation) {
    app.add_subcommand("providers", "List the plugins that are installed, and RDMA devices")->callback([&invocation] {
        invocation.status = list_providers();
    });
}

}  // namespace sansock::cli
