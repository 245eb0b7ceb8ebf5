#include "preload/step_back.hpp"

#include <aio.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/real.hpp"
#include "socket/io.hpp"

namespace sansock::preload {

void step_back(int fd, stream::Reason reason) {
    if (socket::Connection *connection = connection_of(fd)) {
        const int saved = errno;
        socket::return_to_kernel(*connection, reason);
        errno = saved;
    }
}

void descriptors_leave(const msghdr &message) {
    for (cmsghdr *entry = CMSG_FIRSTHDR(&message); entry != nullptr; entry = CMSG_NXTHDR(const_cast<msghdr *>(&message), entry)) {
        if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
        const size_t count = (entry->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd;
            memcpy(&fd, CMSG_DATA(entry) + i * sizeof fd, sizeof fd);
            step_back(fd, stream::Reason::kPassed);
        }
    }
}

void image_leaves() {
    socket::Process *process = socket::Process::get();
    if (process == nullptr || in_vfork_child()) return;
    for (int fd = 0; fd <= process->highest_fd(); ++fd) {
        if (process->connection(fd) == nullptr) continue;
        const long flags = raw_syscall(SYS_fcntl, fd, F_GETFD, 0);
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0) step_back(fd, stream::Reason::kExec);
    }
}

}  // namespace sansock::preload

using namespace sansock::preload;
using sansock::stream::Reason;

SANSOCK_EXPORT FILE *fdopen(int fd, const char *mode) {
    step_back(fd, Reason::kStandardIo);
    return SANSOCK_REAL(fdopen)(fd, mode);
}

SANSOCK_EXPORT int vdprintf(int fd, const char *format, va_list arguments) {
    step_back(fd, Reason::kStandardIo);
    return SANSOCK_REAL(vdprintf)(fd, format, arguments);
}

SANSOCK_EXPORT int dprintf(int fd, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int written = vdprintf(fd, format, arguments);
    va_end(arguments);
    return written;
}

SANSOCK_EXPORT ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size, unsigned flags) {
    step_back(in, Reason::kUnmodelled);
    step_back(out, Reason::kUnmodelled);
    return SANSOCK_REAL(splice)(in, in_offset, out, out_offset, size, flags);
}

SANSOCK_EXPORT int aio_read(aiocb *control) noexcept {
    step_back(control->aio_fildes, Reason::kStandardIo);
    return SANSOCK_REAL(aio_read)(control);
}

SANSOCK_EXPORT int aio_write(aiocb *control) noexcept {
    step_back(control->aio_fildes, Reason::kStandardIo);
    return SANSOCK_REAL(aio_write)(control);
}

SANSOCK_EXPORT int aio_read64(aiocb64 *control) noexcept {
    step_back(control->aio_fildes, Reason::kStandardIo);
    return SANSOCK_REAL(aio_read64)(control);
}

SANSOCK_EXPORT int aio_write64(aiocb64 *control) noexcept {
    step_back(control->aio_fildes, Reason::kStandardIo);
    return SANSOCK_REAL(aio_write64)(control);
}

SANSOCK_EXPORT int lio_listio(int mode, aiocb *const *list, int count, sigevent *event) noexcept {
    for (int i = 0; i < count; ++i) {
        if (list[i] != nullptr) step_back(list[i]->aio_fildes, Reason::kStandardIo);
    }
    return SANSOCK_REAL(lio_listio)(mode, list, count, event);
}

SANSOCK_EXPORT int system(const char *command) {
    image_leaves();
    return SANSOCK_REAL(system)(command);
}

SANSOCK_EXPORT FILE *popen(const char *command, const char *mode) {
    image_leaves();
    return SANSOCK_REAL(popen)(command, mode);
}

SANSOCK_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                               char *const *arguments, char *const *environment) {
    image_leaves();
    return SANSOCK_REAL(posix_spawn)(pid, path, actions, attributes, arguments, environment);
}

SANSOCK_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                                char *const *arguments, char *const *environment) {
    image_leaves();
    return SANSOCK_REAL(posix_spawnp)(pid, file, actions, attributes, arguments, environment);
}

SANSOCK_EXPORT int execve(const char *path, char *const *arguments, char *const *environment) {
    image_leaves();
    return SANSOCK_REAL(execve)(path, arguments, environment);
}

SANSOCK_EXPORT int execv(const char *path, char *const *arguments) {
    image_leaves();
    return SANSOCK_REAL(execv)(path, arguments);
}

SANSOCK_EXPORT int execvp(const char *file, char *const *arguments) {
    image_leaves();
    return SANSOCK_REAL(execvp)(file, arguments);
}

SANSOCK_EXPORT int execvpe(const char *file, char *const *arguments, char *const *environment) {
    image_leaves();
    return SANSOCK_REAL(execvpe)(file, arguments, environment);
}

SANSOCK_EXPORT int fexecve(int fd, char *const *arguments, char *const *environment) {
    image_leaves();
    return SANSOCK_REAL(fexecve)(fd, arguments, environment);
}
