// A file descriptor that closes itself, and that keeps out of the application's way: plugins live in programs that expect the
// lowest numbers for their own files, and that may close what they take for leftovers.
#pragma once
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "sansock/sdk/cpp/failure.hpp"

namespace sansock::sdk {

class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd &&other) noexcept : fd_(other.release()) {}
    UniqueFd &operator=(UniqueFd &&other) noexcept {
        UniqueFd(std::move(other)).swap(*this);
        return *this;
    }
    ~UniqueFd() {
        if (fd_ >= 0) ::close(fd_);
    }

    /// The descriptor that a system call returned, moved to a high number; throws its error, naming `what`.
    static UniqueFd checked(int fd, const std::string &what) {
        if (fd < 0) throw Failure::from_errno(what);
        const UniqueFd low(fd);
        return duplicate(low.get(), what);
    }

    /// A descriptor of our own for what `fd` refers to.
    static UniqueFd duplicate(int fd, const std::string &what) {
        int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, high_number());
        if (copy < 0) copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) throw Failure::from_errno(what);
        return UniqueFd(copy);
    }

    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }
    void swap(UniqueFd &other) noexcept { std::swap(fd_, other.fd_); }

private:
    /// Where the last part of the range begins that the process may use.
    static int high_number() noexcept {
        rlimit limit{};
        if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
        const rlim_t top = std::min<rlim_t>(limit.rlim_cur, 1 << 20);
        return static_cast<int>(top - std::min<rlim_t>(top / 2, 4096));
    }

    int fd_ = -1;
};

}  // namespace sansock::sdk
