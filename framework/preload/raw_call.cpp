#include "preload/raw_call.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
extern "C" {
#include <sys/pidfd.h>  // has no such lines of its own in glibc 2.36
}
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "preload/real.hpp"
#include "preload/step_back.hpp"

namespace sansock::preload {
namespace {

template <class T>
T *pointer(long word) {
    return reinterpret_cast<T *>(word);
}

}  // namespace

bool raw_call(long number, const long *w, long &result) {
    const auto fd = static_cast<int>(w[0]);
    const auto number_of = [&](int i) { return static_cast<int>(w[i]); };
    const auto size_of = [&](int i) { return static_cast<size_t>(w[i]); };
    if (number == SYS_poll) {
        result = poll(pointer<pollfd>(w[0]), size_of(1), number_of(2));
        return true;
    }
    if (number == SYS_socket) {
        result = ::socket(fd, number_of(1), number_of(2));
        return true;
    }
    if (number == SYS_io_uring_setup) {
        rings_come();
        return false;
    }
    if (number == SYS_close_range) {
        result = close_range(static_cast<unsigned>(w[0]), static_cast<unsigned>(w[1]), number_of(2));
        return true;
    }
    if (number == SYS_execve) {
        result = execve(pointer<char>(w[0]), pointer<char *>(w[1]), pointer<char *>(w[2]));
        return true;
    }
    if (number == SYS_execveat) {
        result = execveat(fd, pointer<char>(w[1]), pointer<char *>(w[2]), pointer<char *>(w[3]), number_of(4));
        return true;
    }
    if (number == SYS_pidfd_getfd) {
        result = pidfd_getfd(fd, number_of(1), static_cast<unsigned>(w[2]));
        return true;
    }
    // Whatever else is about a descriptor that we do not know is the kernel's, and accept and connect make us know one.
    const bool makes_known = number == SYS_connect || number == SYS_accept || number == SYS_accept4 || number == SYS_epoll_create1;
    if (!makes_known && connection_of(fd) == nullptr && epoll_of(fd) == nullptr &&
        !(number == SYS_sendfile || number == SYS_dup2 || number == SYS_dup3 || number == SYS_close)) {
        return false;
    }
    switch (number) {
        case SYS_read: result = read(fd, pointer<void>(w[1]), size_of(2)); return true;
        case SYS_write: result = write(fd, pointer<void>(w[1]), size_of(2)); return true;
        case SYS_readv: result = readv(fd, pointer<iovec>(w[1]), number_of(2)); return true;
        case SYS_writev: result = writev(fd, pointer<iovec>(w[1]), number_of(2)); return true;
        case SYS_recvfrom:
            result = recvfrom(fd, pointer<void>(w[1]), size_of(2), number_of(3), pointer<sockaddr>(w[4]), pointer<socklen_t>(w[5]));
            return true;
        case SYS_sendto:
            result = sendto(fd, pointer<void>(w[1]), size_of(2), number_of(3), pointer<sockaddr>(w[4]), static_cast<socklen_t>(w[5]));
            return true;
        case SYS_recvmsg: result = recvmsg(fd, pointer<msghdr>(w[1]), number_of(2)); return true;
        case SYS_sendmsg: result = sendmsg(fd, pointer<msghdr>(w[1]), number_of(2)); return true;
        case SYS_sendfile: result = sendfile(fd, number_of(1), pointer<off_t>(w[2]), size_of(3)); return true;
        case SYS_connect: result = connect(fd, pointer<sockaddr>(w[1]), static_cast<socklen_t>(w[2])); return true;
        case SYS_accept: result = accept(fd, pointer<sockaddr>(w[1]), pointer<socklen_t>(w[2])); return true;
        case SYS_accept4: result = accept4(fd, pointer<sockaddr>(w[1]), pointer<socklen_t>(w[2]), number_of(3)); return true;
        case SYS_shutdown: result = shutdown(fd, number_of(1)); return true;
        case SYS_setsockopt:
            result = setsockopt(fd, number_of(1), number_of(2), pointer<void>(w[3]), static_cast<socklen_t>(w[4]));
            return true;
        case SYS_getsockopt:
            result = getsockopt(fd, number_of(1), number_of(2), pointer<void>(w[3]), pointer<socklen_t>(w[4]));
            return true;
        case SYS_close: result = close(fd); return true;
        case SYS_dup: result = dup(fd); return true;
        case SYS_dup2: result = dup2(fd, number_of(1)); return true;
        case SYS_dup3: result = dup3(fd, number_of(1), number_of(2)); return true;
        case SYS_fcntl: result = fcntl(fd, number_of(1), w[2]); return true;
        case SYS_ioctl: result = ioctl(fd, static_cast<unsigned long>(w[1]), w[2]); return true;
        case SYS_epoll_create1: result = epoll_create1(fd); return true;
        case SYS_epoll_ctl: result = epoll_ctl(fd, number_of(1), number_of(2), pointer<epoll_event>(w[3])); return true;
        case SYS_epoll_wait: result = epoll_wait(fd, pointer<epoll_event>(w[1]), number_of(2), number_of(3)); return true;
        case SYS_epoll_pwait:
            result = epoll_pwait(fd, pointer<epoll_event>(w[1]), number_of(2), number_of(3), pointer<sigset_t>(w[4]));
            return true;
        default: return false;
    }
}

}  // namespace sansock::preload
