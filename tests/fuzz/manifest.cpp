// A manifest beside a plugin is refused, with a place in it, or names a library that lies beside it and GUIDs that are some.
#include "plugin/manifest.hpp"

#include <set>

#include "fuzz.hpp"

using namespace sansock;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const UniqueFd fd = fuzz::memory_file({reinterpret_cast<const char *>(data), size});
    const std::string file = fuzz::path_of(fd);
    const auto manifest = plugin::read_manifest(file);
    if (!manifest) {
        MUST(manifest.error().code == EINVAL && manifest.error().text.starts_with(file + ":"));
        const std::string place = manifest.error().text.substr(file.size() + 1);
        MUST(std::atoi(place.c_str()) >= 1 && std::atoi(place.substr(place.find(':') + 1).c_str()) >= 1);
        return 0;
    }
    MUST(!manifest->name.empty() && !manifest->version.empty() && !manifest->vendor.empty() && !manifest->description.empty());
    MUST(manifest->library.is_absolute() && manifest->library.parent_path() == manifest->file.parent_path());
    const std::string library = manifest->library.filename();
    MUST(!library.empty() && library != "." && library != "..");
    MUST(std::set<std::string>(manifest->guids.begin(), manifest->guids.end()).size() == manifest->guids.size());
    for (const std::string &guid : manifest->guids) MUST(guid.size() == 36 && guid.find_first_not_of("0123456789abcdef-") == guid.npos);
    return 0;
}
