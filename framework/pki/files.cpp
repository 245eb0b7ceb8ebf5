#include "pki/files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/unique_fd.hpp"

namespace sansock::pki {
namespace {

constexpr size_t kFileMax = size_t{1} << 20;

Result<void> write_all(int fd, const std::string &bytes, const std::string &path) {
    for (size_t done = 0; done < bytes.size();) {
        const ssize_t wrote = write(fd, bytes.data() + done, bytes.size() - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return fail_errno(fmt::format("cannot write {}", path));
        done += static_cast<size_t>(wrote);
    }
    return {};
}

Result<void> write_file(const NewFile &file, Existing existing) {
    std::string temporary = file.path + ".XXXXXX";
    UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));  // exclusive, and its owner's alone
    if (!fd) return fail_errno(fmt::format("cannot make a file beside {}", file.path));
    struct Remover {
        ~Remover() { unlink(name.c_str()); }
        const std::string &name;
    } const remover{temporary};
    if (const auto written = write_all(fd.get(), file.bytes, file.path); !written) return written;
    if (fchmod(fd.get(), file.mode) != 0 || fsync(fd.get()) != 0) return fail_errno(fmt::format("cannot write {}", file.path));
    if (existing == Existing::kReplace ? rename(temporary.c_str(), file.path.c_str()) != 0
                                       : link(temporary.c_str(), file.path.c_str()) != 0)
        return fail_errno(fmt::format("cannot make {}", file.path));
    const auto parent = std::filesystem::path(file.path).parent_path();
    const UniqueFd directory(open(parent.empty() ? "." : parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory && fsync(directory.get()) != 0) return fail_errno(fmt::format("cannot write {}", parent.string()));
    return {};
}

}  // namespace

Result<std::string> read_file(const std::string &path, bool secret) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat what {};
    if (!fd || fstat(fd.get(), &what) != 0) return fail_errno(fmt::format("cannot read {}", path));
    if (!S_ISREG(what.st_mode)) return fail(EINVAL, fmt::format("{} is no file", path));
    if (what.st_size > static_cast<off_t>(kFileMax))
        return fail(EFBIG, fmt::format("{} is larger than 1 MiB; allowed: keys and certificates as PEM", path));
    if (secret && (what.st_mode & (S_IRWXO | S_IWGRP)) != 0)
        return fail(EPERM, fmt::format("{} has the mode {:04o}: others may read or change the key; allowed: 0600, or 0640 for one group "
                                       "(chmod o=,g-w {})",
                                       path, what.st_mode & 07777, path));
    std::string bytes(kFileMax, '\0');
    size_t size = 0;
    while (size < bytes.size()) {
        const ssize_t got = read(fd.get(), bytes.data() + size, bytes.size() - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(fmt::format("cannot read {}", path));
        if (got == 0) break;
        size += static_cast<size_t>(got);
    }
    bytes.resize(size);
    return bytes;
}

Result<void> write_files(const std::vector<NewFile> &files, Existing existing) {
    if (existing == Existing::kRefuse) {
        for (const NewFile &file : files) {
            if (access(file.path.c_str(), F_OK) == 0)
                return fail(EEXIST, fmt::format("{} exists, and is not overwritten: move it away, or name another directory", file.path));
        }
    }
    for (size_t i = 0; i < files.size(); ++i) {
        const auto written = write_file(files[i], existing);
        if (written) continue;
        for (size_t made = 0; existing == Existing::kRefuse && made < i; ++made) unlink(files[made].path.c_str());
        return written;
    }
    return {};
}

Result<void> make_directory(const std::string &path) {
    std::error_code error;
    const auto parent = std::filesystem::path(path).parent_path();
    if (!parent.empty()) std::filesystem::create_directories(parent, error);
    if (error) return fail(error.value(), fmt::format("cannot make {}: {}", parent.string(), error.message()));
    if (mkdir(path.c_str(), 0700) == 0) return {};
    if (errno != EEXIST || !std::filesystem::is_directory(path, error)) {
        if (errno == EEXIST) errno = ENOTDIR;
        return fail_errno(fmt::format("cannot make the directory {}", path));
    }
    return {};
}

}  // namespace sansock::pki
