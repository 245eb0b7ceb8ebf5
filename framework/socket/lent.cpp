// Sockets that another program has inherited. The programs of its family know how a connection moves; any other one would read and write
// the TCP socket whatever this process does, and so the connection stays on TCP until no such program holds it any more. Who holds a socket
// only /proc tells.
#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <span>
#include <string_view>
#include <utility>

#include "base/unique_fd.hpp"
#include "socket/channel.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

constexpr size_t kScanStackSize = 128 * 1024;

struct Lent {
    uint64_t inode;
    uint32_t index;
    uint32_t value;  ///< What State::lent was before anybody looked: it changes when the connection is lent again.
    bool held;
};

class Directory {
public:
    explicit Directory(int fd) : stream_(fd < 0 ? nullptr : fdopendir(fd)) {}
    ~Directory() {
        if (stream_ != nullptr) closedir(stream_);
    }
    Directory(const Directory &) = delete;
    Directory &operator=(const Directory &) = delete;
    [[nodiscard]] bool is_open() const { return stream_ != nullptr; }
    [[nodiscard]] int fd() const { return dirfd(stream_); }
    /// The name of the next entry; empty: there is none.
    std::string_view next() {
        const dirent *entry = readdir(stream_);
        return entry == nullptr ? std::string_view() : std::string_view(entry->d_name);
    }

private:
    DIR *stream_;
};

int open_directory(int at, const char *name) {
    return static_cast<int>(raw_syscall(SYS_openat, at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
}

template <class Number>
bool parse(std::string_view text, Number &number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

/// Marks what the process `pid` holds, unless it holds it as one of the connection's family.
void mark(Process &process, std::span<Lent> all, const Directory &proc, uint32_t pid) {
    char name[32] = {};
    auto *end = std::to_chars(name, name + sizeof name - 4, pid).ptr;
    std::copy_n("/fd", 4, end);
    const int fd = open_directory(proc.fd(), name);
    if (fd == -EACCES && raw_syscall(SYS_getsid, pid) == raw_syscall(SYS_getsid, 0)) {  // a setuid program, and perhaps a child of ours
        for (Lent &each : all) each.held = true;
    }
    Directory descriptors(fd);
    if (!descriptors.is_open()) return;
    for (std::string_view entry = descriptors.next(); !entry.empty(); entry = descriptors.next()) {
        char target[64];
        const long size = raw_syscall(SYS_readlinkat, descriptors.fd(), entry.data(), target, sizeof target);
        constexpr std::string_view kSocket = "socket:[";
        std::string_view text(target, static_cast<size_t>(std::max(size, 0L)));
        if (!text.starts_with(kSocket) || !text.ends_with(']')) continue;
        text.remove_prefix(kSocket.size());
        text.remove_suffix(1);
        uint64_t inode = 0;
        if (!parse(text, inode)) continue;
        for (auto found = std::ranges::lower_bound(all, inode, {}, &Lent::inode); found != all.end() && found->inode == inode; ++found) {
            found->held |= !process.shared_at(found->index).holders.has(pid);
        }
    }
}

/// A look at all processes.
struct Scan {
    Process &process;
    std::span<Lent> all;
    bool done = false;
};

/// In a thread with a table of descriptors of its own, empty to begin with: the numbers that are free belong to the application, which
/// counts on being given the lowest of them, and may close any.
void *scan_proc(void *memory) {
    auto &scan = *static_cast<Scan *>(memory);
    if (raw_syscall(SYS_close_range, 0, ~0U, CLOSE_RANGE_UNSHARE) != 0) return nullptr;
    Directory proc(open_directory(AT_FDCWD, "/proc"));
    if (!proc.is_open()) return nullptr;
    for (std::string_view entry = proc.next(); !entry.empty(); entry = proc.next()) {
        uint32_t pid = 0;
        if (parse(entry, pid) && pid != static_cast<uint32_t>(scan.process.pid())) mark(scan.process, scan.all, proc, pid);
    }
    scan.done = true;
    return nullptr;
}

/// False: nothing is known.
bool scan_processes(Process &process, std::span<Lent> all) {
    Scan scan{process, all};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kScanStackSize);
    pthread_t thread;  // the application's signals are blocked in it, as they are in the helper
    const bool begun = pthread_create(&thread, &attributes, scan_proc, &scan) == 0;
    pthread_attr_destroy(&attributes);
    if (begun) pthread_join(thread, nullptr);
    return scan.done;
}

uint32_t collect(Process &process, std::span<Lent> places) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < process.connections_used() && count < places.size(); ++i) {
        Connection &connection = process.connection_at(i);
        if (!connection.is_open() || !connection.is_in_family()) continue;
        const uint32_t value = connection.shared->stream.lent.load(std::memory_order_seq_cst);
        struct stat status;
        if ((value & ~stream::kDrainBit) != 0 && raw_syscall(SYS_fstat, connection.fd.load(), &status) == 0)
            places[count++] = {status.st_ino, i, value, false};
    }
    return count;
}

/// False: it was lent anew meanwhile.
bool take_back(Connection &connection, const Lent &lent) {
    stream::Guard guard(connection.fd_lock);
    if (!connection.is_open() || !connection.is_in_family()) return true;
    uint32_t value = lent.value;
    if (connection.phase() != Phase::kAttached || !connection.mapped.load(std::memory_order_acquire))
        return connection.shared->stream.lent.compare_exchange_strong(value, value & stream::kDrainBit);
    // A direction that the other program has ended has ended for the peer, too, and behind the kernel's FIN nothing leaves TCP.
    return connection.end().take_back(value, !is_established(connection.fd.load()));
}

/// An entry of Process::Shared::spawners.
uint64_t spawner(uint32_t pid, uint32_t threads) { return uint64_t{pid} << 32 | threads; }
uint32_t pid_of(uint64_t entry) { return static_cast<uint32_t>(entry >> 32); }
uint32_t threads_of(uint64_t entry) { return static_cast<uint32_t>(entry); }
bool is_living(uint64_t entry) { return threads_of(entry) != 0 && raw_syscall(SYS_kill, pid_of(entry), 0) != -ESRCH; }

}  // namespace

void Process::begin_spawn() {
    const auto me = static_cast<uint32_t>(pid_);
    for (auto &place : shared_->spawners) {
        uint64_t entry = place.load();
        while (pid_of(entry) == me || !is_living(entry)) {
            if (place.compare_exchange_weak(entry, spawner(me, pid_of(entry) == me ? threads_of(entry) + 1 : 1))) return;
        }
    }
    shared_->unlisted_spawns.fetch_add(1);
}

void Process::end_spawn() {
    const auto me = static_cast<uint32_t>(pid_);
    for (auto &place : shared_->spawners) {
        uint64_t entry = place.load();
        while (pid_of(entry) == me && threads_of(entry) != 0) {
            if (place.compare_exchange_weak(entry, spawner(me, threads_of(entry) - 1))) return;
        }
    }
    uint32_t before = shared_->unlisted_spawns.load();
    while (before != 0 && !shared_->unlisted_spawns.compare_exchange_weak(before, before - 1)) {
    }
}

bool Process::is_spawning() const {
    return shared_->unlisted_spawns.load() != 0 ||
           std::ranges::any_of(shared_->spawners, [](const auto &place) { return is_living(place.load()); });
}

void leave_lent(Process &process) {
    for (uint32_t i = 0; i < process.connections_used(); ++i) {
        Connection &connection = process.connection_at(i);
        if (!process.holds(i) || (connection.shared->stream.lent.load() & ~stream::kDrainBit) == 0 ||
            connection.phase() != Phase::kAttached)
            continue;
        if (!connection.mapped.load(std::memory_order_acquire)) continue;
        if (connection.shared->holders.only(static_cast<uint32_t>(process.pid()))) connection.end().leave_lent();
    }
}

Lending take_back_lent(Process &process) {
    const size_t size = process.connections_used() * sizeof(Lent);
    void *memory = size == 0 ? MAP_FAILED : mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return size != 0 ? Lending::kLasts : Lending::kOver;
    std::span places(static_cast<Lent *>(memory), size / sizeof(Lent));
    const std::span all = places.first(collect(process, places));
    std::ranges::sort(all, {}, &Lent::inode);
    Lending found = all.empty() ? Lending::kOver : Lending::kLasts;
    // While one is started the new program is not there yet to be seen.
    if (!all.empty() && !process.is_spawning() && scan_processes(process, all)) {
        found = Lending::kOver;
        for (const Lent &each : all) {
            Connection &connection = process.connection_at(each.index);
            // Twice in a row: one that was forked behind our back by one that has ended since would have been missed once.
            const uint32_t before = std::exchange(connection.unlent_at, each.held ? 0 : each.value);
            const bool settled = !each.held && before == each.value;
            if (!settled || !take_back(connection, each)) found = std::max(found, each.held ? Lending::kLasts : Lending::kSeemsOver);
        }
    }
    munmap(memory, size);
    return found;
}

}  // namespace sansock::socket
