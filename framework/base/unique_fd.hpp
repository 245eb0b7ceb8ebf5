// A file descriptor that closes itself. Not copied; moved from, it is empty. Its close goes straight to the kernel: in the
// preload library the name `close` is the one that applications call.
#pragma once
#include <sys/syscall.h>

#include <utility>

#include "base/real.hpp"

namespace sansock {

class UniqueFd {
public:
    UniqueFd() = default;
    explicit UniqueFd(int fd) : fd_(fd) {}
    UniqueFd(UniqueFd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd &operator=(UniqueFd &&other) noexcept {
        if (this != &other) reset(std::exchange(other.fd_, -1));
        return *this;
    }
    UniqueFd(const UniqueFd &) = delete;
    UniqueFd &operator=(const UniqueFd &) = delete;
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    explicit operator bool() const { return fd_ >= 0; }
    void reset(int fd = -1) {
        if (fd_ >= 0) raw_syscall(SYS_close, fd_);
        fd_ = fd;
    }

private:
    int fd_ = -1;
};

}  // namespace sansock
