#include "memory.hpp"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <utility>

namespace sansock::simulated {
namespace {

using sdk::Failure;

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_FUTURE_WRITE;

void check_peer_file(int fd, std::uint64_t bytes) {
    struct stat status {};
    struct statfs system {};
    if (::fstat(fd, &status) != 0 || ::fstatfs(fd, &system) != 0) throw Failure::from_errno("the peer's memory");
    const int seals = ::fcntl(fd, F_GET_SEALS);
    if (system.f_type != TMPFS_MAGIC || seals < 0 || (seals & kSeals) != kSeals) {
        throw Failure(SANSOCK_EPROTO, "the peer's memory is not a memfd sealed against shrinking, growing and writing");
    }
    if (static_cast<std::uint64_t>(status.st_size) != bytes) {
        throw Failure(SANSOCK_EPROTO,
                      "the peer's memory has " + std::to_string(status.st_size) + " bytes instead of " + std::to_string(bytes));
    }
    // A page that does not exist yet may not be had later, and reading it would then be SIGBUS.
    if (static_cast<std::uint64_t>(status.st_blocks) * 512 < bytes) {
        throw Failure(SANSOCK_EPROTO, "the peer's memory has holes");
    }
}

}  // namespace

Mapping::Mapping(int fd, std::uint64_t bytes, int protection) : bytes_(bytes) {
    void *const base = ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) throw Failure::from_errno("mmap of a memfd");
    base_ = static_cast<std::byte *>(base);
}

Mapping::Mapping(Mapping &&other) noexcept : base_(std::exchange(other.base_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Mapping &Mapping::operator=(Mapping &&other) noexcept {
    std::swap(base_, other.base_);
    std::swap(bytes_, other.bytes_);
    return *this;
}

Mapping::~Mapping() {
    if (base_ != nullptr) ::munmap(base_, bytes_);
}

OwnMemory::OwnMemory(std::uint64_t message_bytes_max)
    : fd_(sdk::UniqueFd::checked(::memfd_create("sansock-simulated", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create")) {
    const auto bytes = static_cast<off_t>(file_bytes(message_bytes_max));
    if (::fallocate(fd_.get(), 0, 0, bytes) != 0) throw Failure::from_errno("memory for messages");
    mapping_ = Mapping(fd_.get(), static_cast<std::uint64_t>(bytes), PROT_READ | PROT_WRITE);
    if (::fcntl(fd_.get(), F_ADD_SEALS, kSeals) != 0) throw Failure::from_errno("sealing a memfd");
}

PeerMemory::PeerMemory(int fd, std::uint64_t message_bytes_max) {
    const std::uint64_t bytes = file_bytes(message_bytes_max);
    check_peer_file(fd, bytes);
    mapping_ = Mapping(fd, bytes, PROT_READ);
}

}  // namespace sansock::simulated
