// `sansock import-registry` and `export-registry`: between the registry of Winsock Direct and a configuration file.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>

#include "cli/complaint.hpp"
#include "cli/verbs.hpp"
#include "registry/convert.hpp"

namespace sansock::cli {
namespace {

constexpr std::size_t kFileMax = std::size_t{4} << 20;

struct Files {
    std::string in, out, plugin = "unknown";
};

std::optional<std::string> read_file(const std::string &name) {
    std::ifstream file(name, std::ios::binary);
    std::string bytes(kFileMax + 1, '\0');
    if (!file || !file.read(bytes.data(), static_cast<std::streamsize>(bytes.size())).eof() ||
        file.gcount() > static_cast<std::streamsize>(kFileMax)) {
        fmt::print(
            stderr, "{}:1:1: {}\n", name,
            file ? "larger than 4 MiB; allowed: an export of the key TCP on SAN" : std::string("cannot read it: ") + std::strerror(errno));
        return {};
    }
    bytes.resize(static_cast<std::size_t>(file.gcount()));
    return bytes;
}

bool write_file(const std::string &name, const std::string &bytes) {
    if (name.empty()) return std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size();
    std::ofstream file(name, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    file.close();
    if (!file) fmt::print(stderr, "sansock: cannot write {}: {}\n", name, std::strerror(errno));
    return bool{file};
}

Status finish(const registry::Conversion &made, const Files &files) {
    for (const config::Diagnostic &diagnostic : made ? made->notes : made.error()) fmt::print(stderr, "{}\n", diagnostic.format());
    return made && write_file(files.out, made->text) ? kOk : kFindings;
}

CLI::App *add_verb(CLI::App &app, const char *name, const char *what, const std::shared_ptr<Files> &files) {
    CLI::App *verb = app.add_subcommand(name, what);
    verb->add_option("file", files->in, "The file to read")->required()->check(names_file());
    verb->add_option("-o,--output", files->out, "The file to write, instead of standard output")->check(names_file());
    return verb;
}

}  // namespace

void add_import_registry(CLI::App &app, Invocation &invocation) {
    auto files = std::make_shared<Files>();
    CLI::App *verb = add_verb(app, "import-registry", "Turn a .reg file of Winsock Direct into a configuration", files);
    verb->add_option("--plugin", files->plugin, "The plugin that drives the providers, which a .reg file does not name")
        ->check(names_file());
    verb->callback([files, &invocation] {
        const auto bytes = read_file(files->in);
        invocation.status = bytes ? finish(registry::import_registry(*bytes, files->in, files->plugin), *files) : kFindings;
    });
}

void add_export_registry(CLI::App &app, Invocation &invocation) {
    auto files = std::make_shared<Files>();
    CLI::App *verb = add_verb(app, "export-registry", "Turn a configuration into a .reg file of Winsock Direct", files);
    verb->callback([files, &invocation] {
        if (files->out.empty() && isatty(STDOUT_FILENO) != 0) {
            fmt::print(stderr, "sansock: a .reg file is UTF-16 as a rule, and no text for a terminal; give a name with --output\n");
            invocation.status = kUsage;
            return;
        }
        const auto bytes = read_file(files->in);
        invocation.status = bytes ? finish(registry::export_registry(*bytes, files->in), *files) : kFindings;
    });
}

}  // namespace sansock::cli
