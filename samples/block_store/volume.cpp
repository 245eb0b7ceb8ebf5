#include "block_store/volume.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace block_store {

Volume::Volume(const std::string &path, std::uint64_t size_if_new) : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    if (file_.fd() < 0) samples::throw_errno(path);
    struct stat info {};
    if (::fstat(file_.fd(), &info) != 0) samples::throw_errno(path);
    if (!S_ISREG(info.st_mode)) throw std::runtime_error(path + ": a volume is a regular file");
    size_ = static_cast<std::uint64_t>(info.st_size);
    if (size_ == 0) {
        if (::ftruncate(file_.fd(), static_cast<off_t>(size_if_new)) != 0) samples::throw_errno(path);
        size_ = size_if_new;
    }
    if (size_ % kBlockSize != 0) throw std::runtime_error(path + ": its size is not a multiple of 512 bytes");
}

Status Volume::check(std::uint64_t offset, std::uint64_t length) const {
    if (length == 0 || length > kLengthMax || offset % kBlockSize != 0 || length % kBlockSize != 0) {
        return Status::Invalid;
    }
    return offset <= size_ && length <= size_ - offset ? Status::Ok : Status::OutOfRange;
}

Status Volume::read(std::uint64_t offset, std::span<std::byte> out) {
    const Status status = check(offset, out.size());
    if (status != Status::Ok) return status;
    while (!out.empty()) {
        const ssize_t size = ::pread(file_.fd(), out.data(), out.size(), static_cast<off_t>(offset));
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return Status::IoError;
        out = out.subspan(static_cast<std::size_t>(size));
        offset += static_cast<std::uint64_t>(size);
    }
    return Status::Ok;
}

Status Volume::write(std::uint64_t offset, std::span<const std::byte> bytes) {
    const Status status = check(offset, bytes.size());
    if (status != Status::Ok) return status;
    while (!bytes.empty()) {
        const ssize_t size = ::pwrite(file_.fd(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return Status::IoError;
        bytes = bytes.subspan(static_cast<std::size_t>(size));
        offset += static_cast<std::uint64_t>(size);
    }
    return Status::Ok;
}

Status Volume::flush() { return ::fdatasync(file_.fd()) == 0 ? Status::Ok : Status::IoError; }

Status Volume::trim(std::uint64_t offset, std::uint32_t length) {
    const Status status = check(offset, length);
    if (status != Status::Ok) return status;
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    const int rc = ::fallocate(file_.fd(), mode, static_cast<off_t>(offset), static_cast<off_t>(length));
    return rc == 0 ? Status::Ok : Status::IoError;
}

}  // namespace block_store
