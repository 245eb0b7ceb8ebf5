// A file descriptor that closes itself. Not copied; moved from, it is empty. How it is closed is part of its type. The usual
// one goes straight to the kernel: in the preload library the name `close` is the one that applications call.
#pragma once
#include <sys/syscall.h>

#include <utility>

#include "base/real.hpp"

namespace sansock {

template <class Closer>
class BasicFd {
public:
    BasicFd() = default;
    explicit BasicFd(int fd) : fd_(fd) {}
    BasicFd(BasicFd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    BasicFd &operator=(BasicFd &&other) noexcept {
        if (this != &other) reset(std::exchange(other.fd_, -1));
        return *this;
    }
    BasicFd(const BasicFd &) = delete;
    BasicFd &operator=(const BasicFd &) = delete;
    ~BasicFd() { reset(); }

    [[nodiscard]] int get() const { return fd_; }
    [[nodiscard]] int release() { return std::exchange(fd_, -1); }
    explicit operator bool() const { return fd_ >= 0; }
    void reset(int fd = -1) {
        if (fd_ >= 0) Closer()(fd_);
        fd_ = fd;
    }

private:
    int fd_ = -1;
};

struct KernelCloser {
    void operator()(int fd) const { raw_syscall(SYS_close, fd); }
};
using UniqueFd = BasicFd<KernelCloser>;

}  // namespace sansock
