#include "socket/required.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/futex.hpp"
#include "base/unique_fd.hpp"
#include "socket/io.hpp"
#include "socket/launch.hpp"

namespace sansock::socket {
namespace {

constexpr uint64_t kLookAgainNs = 1'000'000;

uint8_t tcp_state(const Connection &connection) {
    uint8_t state = TCP_CLOSE;
    socklen_t size = sizeof state;
    raw_syscall(SYS_getsockopt, connection.fd.load(), IPPROTO_TCP, TCP_INFO, &state, &size);
    return state;
}

/// Whether the word `require` stands in the configuration other than as a key: the helper, who can read it properly, is not there yet.
bool names_require(const char *file) {
    const UniqueFd fd(static_cast<int>(raw_syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0)));
    constexpr char kWord[] = "require";
    char window[4096];
    size_t kept = 0;
    for (long got; fd && (got = raw_syscall(SYS_read, fd.get(), window + kept, sizeof window - kept - 1)) > 0;) {
        const size_t size = kept + static_cast<size_t>(got);
        window[size] = '\0';
        for (const char *at = window; (at = strstr(at, kWord)) != nullptr; ++at) {
            const char after = at[sizeof kWord - 1];
            if (after != ':' && after != 's') return true;  // the end of a buffer counts as well
        }
        kept = std::min(size, sizeof kWord);
        memmove(window, window + size - kept, kept);
    }
    return false;
}

}  // namespace

/// Without `sansock run`, which knows, a file that may say so is taken to say so until the helper has read it.
bool may_require() {
    static std::atomic<char> known{Launch::kUnknown};
    char answer = known.load(std::memory_order_relaxed);
    if (__builtin_expect(answer == Launch::kUnknown, 0)) {
        answer = launch().require;
        if (answer == Launch::kUnknown) answer = launch().config[0] != '\0' && names_require(launch().config) ? Launch::kYes : Launch::kNo;
        known.store(answer, std::memory_order_relaxed);
    }
    return answer == Launch::kYes;
}

void expect_upgrade(Connection &connection) {
    if (!may_require()) return;
    connection.shared->requirement.store(Requirement::kAsked, std::memory_order_relaxed);
    if (tcp_state(connection) == TCP_ESTABLISHED) become_candidate(connection);
}

long await_upgrade(Connection &connection, bool wait) {
    std::atomic<uint32_t> &events = connection.shared->stream.events;
    for (;;) {
        const uint32_t seen = events.load(std::memory_order_acquire);
        if (!is_held_back(connection)) return 0;
        const uint8_t state = tcp_state(connection);
        // A connect() that is under way: TCP would have taken nothing either. One that failed is the kernel's to tell about.
        if (state == TCP_SYN_SENT) return -EAGAIN;
        if (state == TCP_CLOSE) return 0;
        become_candidate(connection);
        if (!wait) return -EAGAIN;
        if (futex_wait(&events, seen, kLookAgainNs) == -EINTR) return -EINTR;
    }
}

void wake_held_back(Connection &connection) {
    connection.shared->stream.events.fetch_add(1, std::memory_order_acq_rel);
    futex_wake_all(&connection.shared->stream.events);
}

void let_go(Connection &connection) {
    connection.shared->requirement.store(Requirement::kNone, std::memory_order_release);
    uint8_t meeting = static_cast<uint8_t>(Phase::kMeeting);
    connection.shared->phase.compare_exchange_strong(meeting, static_cast<uint8_t>(Phase::kTracked));
    wake_held_back(connection);
}

void fail_required(Connection &connection) {
    const int fd = connection.fd.load();
    sockaddr none{};
    none.sa_family = AF_UNSPEC;
    if (fd >= 0) raw_syscall(SYS_connect, fd, &none, sizeof none);
    wake_held_back(connection);
}

}  // namespace sansock::socket
