// daemon, login_tty, forkpty: libc's own fork and copy descriptors by internal calls that nobody sees, so these do what they do
// with ours.
#include <fcntl.h>
#include <paths.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utmp.h>

#include "preload/real.hpp"

namespace {

void becomes_standard(int fd) {
    for (int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(fd, standard);
    if (fd > STDERR_FILENO) close(fd);
}

}  // namespace

SANSOCK_EXPORT int daemon(int stay, int keep) noexcept {
    const pid_t child = fork();
    if (child < 0) return -1;
    if (child > 0) _exit(0);
    if (setsid() < 0) return -1;
    if (stay == 0 && chdir("/") != 0) return -1;
    if (keep != 0) return 0;
    const int fd = open(_PATH_DEVNULL, O_RDWR);
    if (fd < 0) return -1;
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3)) {
        close(fd);
        errno = ENODEV;
        return -1;
    }
    becomes_standard(fd);
    return 0;
}

SANSOCK_EXPORT int login_tty(int fd) noexcept {
    setsid();
    if (ioctl(fd, TIOCSCTTY, nullptr) < 0) return -1;
    becomes_standard(fd);
    return 0;
}

SANSOCK_EXPORT int forkpty(int *terminal, char *name, const termios *modes, const winsize *size) noexcept {
    int ours = -1, theirs = -1;
    if (openpty(&ours, &theirs, name, modes, size) < 0) return -1;
    const pid_t child = fork();
    if (child < 0) {
        close(ours);
        close(theirs);
        return -1;
    }
    if (child == 0) {
        close(ours);
        if (login_tty(theirs) != 0) _exit(1);
        return 0;
    }
    close(theirs);
    *terminal = ours;
    return child;
}
