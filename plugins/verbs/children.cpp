#include "children.hpp"

#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <sansock/sdk/cpp/unique_fd.hpp>
#include <vector>

#include "common/kernel.hpp"

namespace sansock::verbs {
namespace {

using plugins::kernel;

struct Kept {
    std::mutex mutex;
    std::vector<int> fds;
    sdk::UniqueFd nothing;
};

Kept &kept() {
    static Kept all;
    return all;
}

void begin_fork() { kept().mutex.lock(); }
void end_fork() { kept().mutex.unlock(); }

void become_child() {
    for (const int fd : kept().fds) kernel(SYS_dup3, kept().nothing.get(), fd, O_CLOEXEC);
    kept().mutex.unlock();
}

}  // namespace

KeptFromChildren::KeptFromChildren(int fd) : fd_(fd) {
    Kept &all = kept();
    const std::lock_guard lock(all.mutex);
    if (all.nothing.get() < 0) {
        all.nothing =
            sdk::UniqueFd::checked(static_cast<int>(kernel(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC, 0)), "/dev/null");
        if (::pthread_atfork(begin_fork, end_fork, become_child) != 0) throw sdk::Failure(SANSOCK_ENOMEM, "pthread_atfork: out of memory");
    }
    all.fds.push_back(fd);
}

KeptFromChildren::~KeptFromChildren() {
    const std::lock_guard lock(kept().mutex);
    std::erase(kept().fds, fd_);
}

std::unique_lock<std::mutex> no_fork() { return std::unique_lock(kept().mutex); }

}  // namespace sansock::verbs
