#include "cli/program.hpp"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string_view>

#include "base/unique_fd.hpp"

namespace sansock::cli {
namespace {

/// What execve does with one candidate, without doing it.
Result<std::filesystem::path> executable(const std::filesystem::path &file) {
    struct stat status {};
    if (stat(file.c_str(), &status) != 0) return fail_errno(file.string());
    if (!S_ISREG(status.st_mode)) return fail(EACCES, file.string() + ": not a regular file");
    if (access(file.c_str(), X_OK) != 0) return fail_errno(file.string());
    return file;
}

/// Whether the kernel gives the program other rights than its caller has. The loader then drops LD_PRELOAD.
bool gains_rights(const std::filesystem::path &program) {
    struct stat status {};
    if (stat(program.c_str(), &status) != 0) return false;
    if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) return true;
    if ((status.st_mode & S_ISGID) != 0 && status.st_gid != getgid()) return true;
    return getuid() != 0 && getxattr(program.c_str(), "security.capability", nullptr, 0) > 0;
}

template <class T>
bool read_at(int fd, T &value, std::uint64_t offset) {
    return pread(fd, &value, sizeof value, static_cast<off_t>(offset)) == static_cast<ssize_t>(sizeof value);
}

/// Whether the program asks for a dynamic loader. `header` is that of the file.
bool has_interpreter(int fd, const ElfW(Ehdr) & header) {
    for (int i = 0; i < header.e_phnum; ++i) {
        ElfW(Phdr) segment;
        if (!read_at(fd, segment, header.e_phoff + std::uint64_t{header.e_phentsize} * i)) return false;
        if (segment.p_type == PT_INTERP) return true;
    }
    return false;
}

/// This program's own header: what is built for another machine cannot load what is built for this one.
ElfW(Ehdr) own_header() {
    ElfW(Ehdr) header{};
    const UniqueFd self(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    read_at(self.get(), header, 0);
    return header;
}

/// The interpreter that a script's first line names.
std::optional<std::filesystem::path> script_interpreter(int fd) {
    std::array<char, 256> start{};  // The kernel looks no further.
    const ssize_t got = pread(fd, start.data(), start.size(), 0);
    std::string_view line(start.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    if (!line.starts_with("#!")) return std::nullopt;
    line = line.substr(2, line.find('\n') - 2);
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    return std::filesystem::path(line.substr(0, line.find_first_of(" \t")));
}

}  // namespace

Result<std::filesystem::path> find_program(const std::string &name) {
    if (name.empty()) return fail(ENOENT, "no program named");
    if (name.find('/') != std::string::npos) return executable(name);
    const char *variable = std::getenv("PATH");
    std::string_view directories = variable != nullptr ? variable : "/bin:/usr/bin";
    auto best = Result<std::filesystem::path>(fail(ENOENT, name + ": not found in PATH"));
    while (true) {
        const auto colon = directories.find(':');
        // An empty entry is the working directory.
        const std::filesystem::path directory(colon == 0 || directories.empty() ? "." : directories.substr(0, colon));
        auto found = executable(directory / name);
        if (found) return found;
        if (found.error().code != ENOENT && found.error().code != ENOTDIR) best = std::move(found);
        if (colon == std::string_view::npos) return best;
        directories.remove_prefix(colon + 1);
    }
}

std::optional<std::string> why_not_preloadable(const std::filesystem::path &program) {
    static constexpr int kInterpretersMax = 4;  // Of interpreters that are scripts; the kernel has the same limit.
    std::filesystem::path file = program;
    for (int depth = 0; depth <= kInterpretersMax; ++depth) {
        if (gains_rights(file))
            return fmt::format("{} is setuid, setgid or has capabilities, and so takes no preloaded library", file.string());
        const UniqueFd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
        if (!fd) return std::nullopt;  // It can be executable without being readable.
        if (auto interpreter = script_interpreter(fd.get())) {
            file = *std::move(interpreter);
            continue;
        }
        ElfW(Ehdr) header{};
        if (!read_at(fd.get(), header, 0) ||
            std::string_view(ELFMAG, SELFMAG) != std::string_view(reinterpret_cast<const char *>(header.e_ident), SELFMAG))
            return std::nullopt;
        const ElfW(Ehdr) own = own_header();
        if (header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS] || header.e_machine != own.e_machine)
            return fmt::format("{} is built for another kind of machine than sansock", file.string());
        if (!has_interpreter(fd.get(), header)) return fmt::format("{} is statically linked", file.string());
        return std::nullopt;
    }
    return std::nullopt;
}

}  // namespace sansock::cli
