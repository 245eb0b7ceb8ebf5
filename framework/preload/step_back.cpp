#include "preload/step_back.hpp"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "preload/real.hpp"
#include "socket/io.hpp"
#include "socket/young.hpp"

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

namespace {

template <class Leave>
void inherited_leave(socket::Process *process, Leave leave) {
    for (int fd = 0; process != nullptr && fd <= process->highest_fd(); ++fd) {
        socket::Connection *connection = process->connection(fd);
        if (connection == nullptr) continue;
        const long flags = raw_syscall(SYS_fcntl, fd, F_GETFD, 0);
        if (flags >= 0 && (flags & FD_CLOEXEC) == 0) leave(*connection);
    }
}

}  // namespace

void image_spawns() {
    socket::Process *process = socket::Process::get();
    if (process == nullptr) return;
    grow_all_up(*process);  // a vfork child cannot
    process->begin_spawn();
    inherited_leave(process, socket::lend);
}

void image_spawned() {
    socket::Process *process = socket::Process::get();
    if (process == nullptr) return;
    process->end_spawn();
    process->watch_lent();  // it may have ended already, however long that took
}

void lend(int fd) {
    if (socket::Connection *connection = connection_of(fd)) socket::lend(*connection);
}

void image_leaves() {
    socket::Process *process = socket::Process::get();
    if (process == nullptr) return;
    if (!in_vfork_child()) process->begin_spawn();  // else our parent has, and is asleep in it
    inherited_leave(process, [&](socket::Connection &connection) {
        if (!in_vfork_child() && connection.shared->holders.only(static_cast<uint32_t>(process->pid()))) {
            socket::return_to_kernel(connection, stream::Reason::kExec);
        } else {
            socket::lend(connection);  // our siblings, or our parent, go on with it
        }
    });
}

void image_left() {
    if (socket::Process *process = socket::Process::get(); process != nullptr && !in_vfork_child()) process->end_spawn();
}

void rings_come() {
    if (socket::Process *process = socket::Process::get_or_create()) process->note_rings();
    everything_leaves(stream::Reason::kIoUring);
}

void everything_leaves(stream::Reason reason) {
    const socket::Process *process = socket::Process::get();
    for (int fd = 0; process != nullptr && fd <= process->highest_fd(); ++fd) step_back(fd, reason);
}

}  // namespace sansock::preload
