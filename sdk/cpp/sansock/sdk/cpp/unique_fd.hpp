// A file descriptor that closes itself.
#pragma once
#include <fcntl.h>
#include <unistd.h>

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

    /// The descriptor that a system call returned; throws its error, naming `what`.
    static UniqueFd checked(int fd, const std::string &what) {
        if (fd < 0) throw Failure::from_errno(what);
        return UniqueFd(fd);
    }

    /// A descriptor of our own for what `fd` refers to.
    static UniqueFd duplicate(int fd, const std::string &what) {
        return checked(::fcntl(fd, F_DUPFD_CLOEXEC, 0), what);
    }

    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }
    void swap(UniqueFd &other) noexcept { std::swap(fd_, other.fd_); }

private:
    int fd_ = -1;
};

}  // namespace sansock::sdk
