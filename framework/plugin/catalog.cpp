#include "plugin/catalog.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace sansock::plugin {
namespace fs = std::filesystem;
namespace {

std::vector<fs::path> manifests_in(const fs::path &directory) {
    std::vector<fs::path> files;
    std::error_code ignored;  // A directory that is not there holds no plugins.
    for (const fs::directory_entry &entry : fs::directory_iterator(directory, ignored)) {
        if (entry.path().extension() == ".yaml") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

void append_directory(std::vector<fs::path> &directories, const fs::path &directory) {
    std::error_code error;
    fs::path canonical = fs::canonical(directory, error);
    if (error || std::ranges::find(directories, canonical) != directories.end()) return;
    directories.push_back(std::move(canonical));
}

/// The directory of the file that this code was loaded from: a library in lib/, or a program in bin/.
fs::path own_directory() {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void *>(&own_directory), &info) == 0 || info.dli_fname == nullptr) return {};
    std::error_code error;
    const fs::path file = fs::canonical(info.dli_fname, error);
    // The main program's name is argv[0], which need not be a path.
    return error ? fs::canonical("/proc/self/exe", error).parent_path() : file.parent_path();
}

}  // namespace

Catalog Catalog::scan(std::span<const fs::path> directories) {
    Catalog catalog;
    for (const fs::path &directory : directories) {
        for (const fs::path &file : manifests_in(directory)) {
            Result<Manifest> manifest = read_manifest(file);
            if (manifest) {
                catalog.add(std::move(*manifest));
            } else {
                catalog.problems_.push_back({file, file.stem().string(), manifest.error().text});
            }
        }
    }
    return catalog;
}

void Catalog::add(Manifest manifest) {
    const auto refuse = [&](const std::string &what, const Manifest &holder) {
        problems_.push_back(
            {manifest.file, manifest.name,
             manifest.file.string() + ": " + what + " is already declared by " + holder.file.string() + "; this plugin is left out"});
    };
    if (const Manifest *holder = find(manifest.name)) return refuse("the name '" + manifest.name + "'", *holder);
    for (const std::string &guid : manifest.guids) {
        if (const Manifest *holder = find_by_guid(guid)) return refuse("GUID " + guid, *holder);
    }
    plugins_.push_back(std::move(manifest));
}

const Manifest *Catalog::find(std::string_view name) const {
    const auto found = std::ranges::find(plugins_, name, &Manifest::name);
    return found == plugins_.end() ? nullptr : &*found;
}

const Manifest *Catalog::find_by_guid(std::string_view guid) const {
    const auto found =
        std::ranges::find_if(plugins_, [&](const Manifest &each) { return std::ranges::find(each.guids, guid) != each.guids.end(); });
    return found == plugins_.end() ? nullptr : &*found;
}

std::string Catalog::explain_missing(std::string_view name) const {
    const auto problem = std::ranges::find(problems_, name, &Problem::plugin);
    if (problem != problems_.end()) return problem->text;
    std::string text = "no plugin is named '" + std::string(name) + "'; ";
    if (plugins_.empty()) return text + "none is installed";
    text += "installed are:";
    for (const Manifest &each : plugins_) text += (&each == &plugins_.front() ? " " : ", ") + each.name;
    return text;
}

std::vector<fs::path> search_path(const char *listed) {
    std::vector<fs::path> directories;
    if (listed != nullptr) {
        std::istringstream list(listed);
        for (std::string directory; std::getline(list, directory, ':');) {
            if (!directory.empty()) append_directory(directories, directory);
        }
    }
    const fs::path own = own_directory();
    if (own.empty()) return directories;
    append_directory(directories, own / "sansock/plugins");
    append_directory(directories, own.parent_path() / "lib/sansock/plugins");
    append_directory(directories, own.parent_path() / SANSOCK_LIBDIR "/sansock/plugins");
    return directories;
}

}  // namespace sansock::plugin
