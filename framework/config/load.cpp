#include "config/load.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/printable.hpp"
#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "config/describe.hpp"
#include "config/reader.hpp"

namespace sansock::config {
namespace {

std::optional<uid_t> uid_of(const std::string &name) {
    std::vector<char> buffer(1024);
    passwd entry{};
    passwd *found = nullptr;
    while (getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found) == ERANGE) buffer.resize(buffer.size() * 2);
    return found == nullptr ? std::nullopt : std::optional(found->pw_uid);
}

/// What a file leaves out, and what then holds.
void complete(Reading &reading) {
    Config &config = reading.config;
    if (!reading.has_providers) {
        config.providers = embedded_default().providers;
        for (Provider &provider : config.providers) provider.position = {};
        reading.provider_sound.assign(config.providers.size(), true);
    }
    if (reading.has_routes || config.providers.empty()) return;
    Route everything = default_route(config);
    for (const Provider &provider : config.providers) everything.providers.push_back(provider.guid);
    config.routes = {std::move(everything)};
}

/// In the file's order, each text behind `prefix`. Texts quote the file, where quoted text may hold any character.
std::vector<Diagnostic> diagnostics(std::vector<Fault> faults, const std::string &name, const char *prefix = "") {
    std::ranges::stable_sort(faults, {}, &Fault::position);
    std::vector<Diagnostic> out;
    out.reserve(faults.size());
    for (const Fault &fault : faults) out.push_back({name, fault.position, prefix + printable(fault.text)});
    return out;
}

/// The text of a file; of one that is too large, just enough to tell.
Result<std::string> read_text(const std::filesystem::path &file) {
    // Opening a FIFO for reading waits for a writer, unless told not to.
    const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return fail_errno("cannot open it");
    struct stat status {};
    if (fstat(fd.get(), &status) != 0) return fail_errno("cannot look at it");
    if (!S_ISREG(status.st_mode)) return fail(EINVAL, "a directory, device or pipe");

    std::string text(kTextMax + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t got = read(fd.get(), text.data() + size, text.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno("cannot read it");
        if (got == 0) break;
        size += static_cast<std::size_t>(got);
    }
    text.resize(size);
    return text;
}

}  // namespace

Host Host::usual() { return {.has_plugin = {}, .find_user = uid_of, .has_folder = {}}; }

Loaded load_text(std::string_view text, const std::string &name, const Host &host) {
    auto document = parse_document(text);
    if (!document) return {std::unexpected(diagnostics(std::move(document.error()), name)), {}};

    Reading reading = read_document(*document, host);
    for (Provider &provider : reading.config.providers) provider.origin = fmt::format("{}:{}", name, provider.position.line);
    complete(reading);
    check_together(reading, host);
    Loaded loaded{std::move(reading.config), diagnostics(std::move(reading.notes), name, "note: ")};
    if (!reading.errors.empty()) loaded.config = std::unexpected(diagnostics(std::move(reading.errors), name));
    return loaded;
}

Loaded load_file(const std::filesystem::path &file, const Host &host) {
    const auto text = read_text(file);
    if (text) return load_text(*text, file.string(), host);
    Diagnostic fault{file.string(), {}, text.error().text + "; allowed: a regular file that can be read"};
    return {std::unexpected(std::vector{std::move(fault)}), {}};
}

Config embedded_default() {
    static const std::string kText = default_file();
    // The text names no users and no plugin is asked for: the host does not matter.
    return load_text(kText, "embedded default", {}).config.value();
}

}  // namespace sansock::config
