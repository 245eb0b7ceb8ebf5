#include "arguments.hpp"

#include <getopt.h>

#include <charconv>
#include <filesystem>
#include <string_view>

namespace sansock::validator {
namespace fs = std::filesystem;

const char kUsage[] = R"(usage: sansock-validate [options] PLUGIN

Tries a provider plugin against the contract, each case in a process of its own. PLUGIN is the path of a library with its
manifest beside it, or the name of an installed plugin.

  --config YAML   the block that the operator would write for the provider, such as '{simulation: {latency: 20us}}'
  --case PATTERN  run only the cases that match, such as '*Wakeup*'
  --seed NUMBER   repeat a run, 1 to 99999
  --verbose       show the output of passed cases too
  --help          this text

Exit status: 0 when no case failed, 1 when one did, 2 when nothing could be tried.
)";

namespace {

/// A library's path names its folder; which plugin is meant, the manifest there says that names the library.
Result<conformance::Target> target_for(const std::string &plugin) {
    conformance::Target target{.label = "plugin", .plugin = plugin};
    if (plugin.find('/') == std::string::npos && !plugin.ends_with(".so")) return target;
    std::error_code error;
    const fs::path library = fs::canonical(plugin, error);
    if (error) return fail(ENOENT, plugin + ": " + error.message());
    target.directories = plugin::search_path();
    target.directories.insert(target.directories.begin(), library.parent_path());
    const plugin::Catalog catalog = plugin::Catalog::scan(target.directories);
    for (const plugin::Manifest &manifest : catalog.plugins()) {
        if (manifest.library != library) continue;
        target.plugin = manifest.name;
        return target;
    }
    std::string text = "no manifest beside " + library.string() + " names it as its library";
    for (const plugin::Problem &problem : catalog.problems()) text += "\n  " + problem.text;
    return fail(ENOENT, text);
}

}  // namespace

Result<Arguments> parse_arguments(int count, char **values) {
    static constexpr option kOptions[] = {{"config", required_argument, nullptr, 'c'}, {"case", required_argument, nullptr, 'k'},
                                          {"seed", required_argument, nullptr, 's'},   {"verbose", no_argument, nullptr, 'v'},
                                          {"help", no_argument, nullptr, 'h'},         {}};
    Arguments arguments;
    std::string yaml;
    for (int found = 0; (found = ::getopt_long(count, values, "", kOptions, nullptr)) != -1;) {
        const std::string_view value = optarg != nullptr ? optarg : "";
        switch (found) {
            case 'c': yaml = value; break;
            case 'k': arguments.pattern = value; break;
            case 's': {
                const auto [end, error] = std::from_chars(value.begin(), value.end(), arguments.seed);
                if (error != std::errc() || end != value.end() || arguments.seed < 1 || arguments.seed > 99'999) {
                    return fail(EINVAL, "--seed needs a number from 1 to 99999");
                }
                break;
            }
            case 'v': arguments.verbose = true; break;
            case 'h': arguments.help = true; return arguments;
            default: return fail(EINVAL, "see --help");
        }
    }
    if (optind + 1 != count) return fail(EINVAL, "name one plugin; see --help");
    auto target = target_for(values[optind]);
    if (!target) return std::unexpected(target.error());
    arguments.target = std::move(*target);
    arguments.target.yaml = std::move(yaml);
    return arguments;
}

}  // namespace sansock::validator
