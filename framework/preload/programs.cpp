// exec, posix_spawn, system, popen: other programs, which know nothing of the paths of what they inherit.
#include <alloca.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/real.hpp"
#include "preload/step_back.hpp"
#include "socket/io.hpp"
#include "socket/report.hpp"
#include "socket/waiting.hpp"

// The inside of popen, in no header.
extern "C" FILE *_IO_proc_open(FILE *stream, const char *command, const char *mode);

namespace sansock::preload {
namespace {

/// One action of a posix_spawn_file_actions_t as glibc keeps it. Its header hides that, so known_layout() looks before we rely on it.
struct SpawnAction {
    int tag;
    int padding;
    int fd;
    int copy;
    long others[2];
};

const SpawnAction *actions_of(const posix_spawn_file_actions_t &actions) {
    return reinterpret_cast<const SpawnAction *>(actions.__actions);
}

/// The tag of a dup2 action; -1: this libc keeps its actions in another way.
int tag_of_dup2() {
    posix_spawn_file_actions_t probe;
    if (posix_spawn_file_actions_init(&probe) != 0) return -1;
    int tag = -1;
    if (posix_spawn_file_actions_adddup2(&probe, 3, 4) == 0 && posix_spawn_file_actions_adddup2(&probe, 5, 6) == 0 && probe.__used == 2) {
        const SpawnAction *found = actions_of(probe);
        if (found[0].fd == 3 && found[0].copy == 4 && found[1].fd == 5 && found[1].copy == 6 && found[0].tag == found[1].tag)
            tag = found[0].tag;
    }
    posix_spawn_file_actions_destroy(&probe);
    return tag;
}

/// A new program is started beside this one, until the end of its life known to be on its way.
class Spawning {
public:
    Spawning() { image_spawns(); }
    ~Spawning() { image_spawned(); }
    Spawning(const Spawning &) = delete;
    Spawning &operator=(const Spawning &) = delete;
};

/// What the actions copy for a new program, whether close-on-exec or not, is lent to it as well.
void lend_copies(const posix_spawn_file_actions_t *actions) {
    if (actions == nullptr || actions->__used == 0 || socket::Process::get() == nullptr) return;
    const int tag = tag_of_dup2();
    if (tag < 0) return everything_leaves(stream::Reason::kExec);
    for (int i = 0; i < actions->__used; ++i) {
        const SpawnAction &action = actions_of(*actions)[i];
        if (action.tag == tag) lend(action.fd);
    }
}

/// exec: what the new image inherits steps back, and unless it fails, this process's part in all connections is over.
class Execution {
public:
    Execution() {
        image_leaves();
        if (in_vfork_child() || process_ == nullptr) return;
        socket::report_all();
        socket::leave_far(*process_, false);
        socket::leave_lent(*process_);
        process_->leave_all();
        image_left();  // whoever looks for the new program finds us, no more one of the family
    }
    ~Execution() {
        if (!in_vfork_child() && process_ != nullptr) process_->come_back();
    }
    Execution(const Execution &) = delete;
    Execution &operator=(const Execution &) = delete;

private:
    socket::Process *const process_ = socket::Process::get();
};

/// How many words an execl-like call was given, the null at their end included.
size_t count_words(const char *first, va_list others) {
    size_t count = 1;
    for (const char *word = first; word != nullptr; word = va_arg(others, const char *)) ++count;
    return count;
}

void take_words(const char *first, va_list others, char **words, size_t count) {
    words[0] = const_cast<char *>(first);
    for (size_t i = 1; i < count; ++i) words[i] = va_arg(others, char *);
}

}  // namespace
}  // namespace sansock::preload

using namespace sansock::preload;

/// The words of an execl-like call as an array on the caller's stack; `rest` stands behind them afterwards.
#define SANSOCK_WORDS(words, first, rest)                                        \
    va_list rest;                                                                \
    va_start(rest, first);                                                       \
    const size_t words##_count = count_words(first, rest);                       \
    va_end(rest);                                                                \
    auto **words = static_cast<char **>(alloca(words##_count * sizeof(char *))); \
    va_start(rest, first);                                                       \
    take_words(first, rest, words, words##_count)

SANSOCK_EXPORT int execve(const char *path, char *const *arguments, char *const *environment) noexcept {
    const Execution execution;
    return SANSOCK_REAL(execve)(path, arguments, environment);
}

SANSOCK_EXPORT int execv(const char *path, char *const *arguments) noexcept {
    const Execution execution;
    return SANSOCK_REAL(execv)(path, arguments);
}

SANSOCK_EXPORT int execvp(const char *file, char *const *arguments) noexcept {
    const Execution execution;
    return SANSOCK_REAL(execvp)(file, arguments);
}

SANSOCK_EXPORT int execvpe(const char *file, char *const *arguments, char *const *environment) noexcept {
    const Execution execution;
    return SANSOCK_REAL(execvpe)(file, arguments, environment);
}

SANSOCK_EXPORT int execveat(int directory, const char *path, char *const *arguments, char *const *environment, int flags) noexcept {
    const Execution execution;
    return SANSOCK_REAL(execveat)(directory, path, arguments, environment, flags);
}

SANSOCK_EXPORT int fexecve(int fd, char *const *arguments, char *const *environment) noexcept {
    const Execution execution;
    return SANSOCK_REAL(fexecve)(fd, arguments, environment);
}

SANSOCK_EXPORT int execl(const char *path, const char *first, ...) noexcept {
    SANSOCK_WORDS(words, first, rest);
    va_end(rest);
    return execv(path, words);
}

SANSOCK_EXPORT int execlp(const char *file, const char *first, ...) noexcept {
    SANSOCK_WORDS(words, first, rest);
    va_end(rest);
    return execvp(file, words);
}

SANSOCK_EXPORT int execle(const char *path, const char *first, ...) noexcept {
    SANSOCK_WORDS(words, first, rest);
    char *const *environment = va_arg(rest, char *const *);
    va_end(rest);
    return execve(path, words, environment);
}

SANSOCK_EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                               char *const *arguments, char *const *environment) {
    const Spawning spawning;
    lend_copies(actions);
    return SANSOCK_REAL(posix_spawn)(pid, path, actions, attributes, arguments, environment);
}

SANSOCK_EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                                const posix_spawnattr_t *attributes, char *const *arguments, char *const *environment) {
    const Spawning spawning;
    lend_copies(actions);
    return SANSOCK_REAL(posix_spawnp)(pid, file, actions, attributes, arguments, environment);
}

SANSOCK_EXPORT int system(const char *command) {
    const Spawning spawning;
    return SANSOCK_REAL(system)(command);
}

SANSOCK_EXPORT FILE *popen(const char *command, const char *mode) {
    const Spawning spawning;
    return SANSOCK_REAL(popen)(command, mode);
}
SANSOCK_ALIAS(_IO_popen, popen);

SANSOCK_EXPORT FILE *_IO_proc_open(FILE *stream, const char *command, const char *mode) {
    const Spawning spawning;
    return SANSOCK_REAL(_IO_proc_open)(stream, command, mode);
}
