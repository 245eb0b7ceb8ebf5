#include "sansock/poller.hpp"

#include <utility>

#include "native/support.hpp"
#include "socket/epoll.hpp"

namespace sansock {
namespace {

/// nullptr for one that is not open, and for a parent's in a forked child.
socket::Epoll *known(int fd) {
    const socket::Process *process = socket::Process::get();
    return fd < 0 || process == nullptr ? nullptr : process->epoll(fd);
}

}  // namespace

Expected<Poller> Poller::open() {
    socket::Process *process = native::process();
    if (process == nullptr) return native::failure(-ENOMEM);
    const auto fd = static_cast<int>(raw_syscall(SYS_epoll_create1, EPOLL_CLOEXEC));
    if (fd < 0) return native::failure(fd);
    if (process->new_epoll(fd) == nullptr) {
        raw_syscall(SYS_close, fd);
        return native::failure(-EMFILE);
    }
    return Poller(fd);
}

Poller::Poller(Poller &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Poller &Poller::operator=(Poller &&other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
}

Poller::~Poller() {
    if (fd_ < 0) return;
    if (socket::Epoll *epoll = known(fd_)) socket::close_epoll(fd_, *epoll);
    raw_syscall(SYS_close, fd_);
}

Expected<void> Poller::control(int operation, int descriptor, epoll_event *event) {
    socket::Epoll *epoll = known(fd_);
    if (epoll == nullptr) return native::failure(-EBADF);
    socket::Connection *connection = socket::Process::get()->connection(descriptor);
    const long rc = connection == nullptr ? raw_syscall(SYS_epoll_ctl, fd_, operation, descriptor, event)
                                          : socket::epoll_control(*epoll, operation, descriptor, *connection, event);
    if (rc < 0) return native::failure(rc);
    return {};
}

Expected<void> Poller::add(int descriptor, epoll_event event) { return control(EPOLL_CTL_ADD, descriptor, &event); }
Expected<void> Poller::modify(int descriptor, epoll_event event) { return control(EPOLL_CTL_MOD, descriptor, &event); }
Expected<void> Poller::remove(int descriptor) { return control(EPOLL_CTL_DEL, descriptor, nullptr); }

Expected<std::size_t> Poller::wait(std::span<epoll_event> events, Deadline deadline) {
    socket::Epoll *epoll = known(fd_);
    if (epoll == nullptr) return native::failure(-EBADF);
    for (;;) {
        const int rc = socket::epoll_wait_both(*epoll, events.data(), static_cast<int>(events.size()), native::ns_until(deadline), nullptr);
        if (rc == -EINTR) continue;
        if (rc < 0) return native::failure(rc);
        return static_cast<std::size_t>(rc);
    }
}

}  // namespace sansock
