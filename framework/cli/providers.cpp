// `sansock providers`: which plugins are installed. Reads their manifests and loads none of them.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/printable.hpp"
#include "cli/verbs.hpp"
#include "plugin/catalog.hpp"

namespace sansock::cli {
namespace {

struct Row {
    std::string plugin, version, abi, guids, description;
};

Row row_of(const plugin::Manifest &manifest) {
    return {printable(manifest.name), printable(manifest.version), fmt::format("{}.{}", manifest.abi_major, manifest.abi_minor),
            manifest.guids.empty() ? "any" : fmt::format("{}", fmt::join(manifest.guids, " ")), printable(manifest.description)};
}

std::size_t width(const std::vector<Row> &rows, std::string Row::*column) {
    std::size_t widest = 0;
    for (const Row &row : rows) widest = std::max(widest, (row.*column).size());
    return widest;
}

Status list_providers() {
    const auto catalog = plugin::Catalog::scan(plugin::search_path());
    std::vector<Row> rows{{"PLUGIN", "VERSION", "ABI", "GUIDS", "DESCRIPTION"}};
    for (const auto &manifest : catalog.plugins()) rows.push_back(row_of(manifest));
    for (const Row &row : rows) {
        fmt::print("{:{}}  {:{}}  {:{}}  {:{}}  {}\n", row.plugin, width(rows, &Row::plugin), row.version, width(rows, &Row::version),
                   row.abi, width(rows, &Row::abi), row.guids, width(rows, &Row::guids), row.description);
    }
    for (const auto &problem : catalog.problems()) fmt::print(stderr, "sansock: {}\n", printable(problem.text));
    return catalog.problems().empty() ? kOk : kFindings;
}

}  // namespace

void add_providers(CLI::App &app, Invocation &invocation) {
    app.add_subcommand("providers", "List the plugins that are installed")->callback([&invocation] {
        invocation.status = list_providers();
    });
}

}  // namespace sansock::cli
