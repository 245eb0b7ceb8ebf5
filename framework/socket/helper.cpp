#include "socket/helper.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "socket/agent.hpp"
#include "socket/meetings.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

thread_local bool helper_thread __attribute__((tls_model("initial-exec"))) = false;
thread_local bool thread_of_ours __attribute__((tls_model("initial-exec"))) = false;
constexpr size_t kStackSize = 256 * 1024;
constexpr int kSubmittedAtOnce = 32;

/// The runtime lies beside the library that this code is in. In a forked child it is there already.
Runtime *load_runtime() {
    if (Runtime *loaded = Process::get()->runtime()) return loaded;
    Dl_info self{};
    if (dladdr(reinterpret_cast<void *>(&load_runtime), &self) == 0 || self.dli_fname == nullptr) return nullptr;
    char path[4096];
    const char *slash = strrchr(self.dli_fname, '/');
    const int directory = slash == nullptr ? 0 : static_cast<int>(slash - self.dli_fname + 1);
    if (snprintf(path, sizeof path, "%.*slibsansock_runtime.so", directory, self.dli_fname) >= static_cast<int>(sizeof path))
        return nullptr;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const auto open =
        library == nullptr ? nullptr : reinterpret_cast<decltype(&sansock_runtime_open)>(dlsym(library, "sansock_runtime_open"));
    const auto version = library == nullptr ? nullptr : static_cast<const char *>(dlsym(library, "sansock_runtime_version"));
    // Replaced by another version since this process has loaded ours.
    const bool is_another = open != nullptr && (version == nullptr || strcmp(version, SANSOCK_VERSION) != 0);
    if (open == nullptr || is_another) {
        const char *why =
            is_another ? "libsansock_runtime.so is of another version than this process's library; start the program again" : dlerror();
        char line[512];
        const int size = snprintf(line, sizeof line, "sansock: connections stay on TCP: %s\n", why == nullptr ? path : why);
        raw_syscall(SYS_write, STDERR_FILENO, line, std::min(static_cast<size_t>(size), sizeof line - 1));
        return nullptr;
    }
    return open(launch());
}

/// The helper of this process. Its own descriptors live here, and what it knows of each peer.
class HelperThread {
public:
    explicit HelperThread(Process &process) : process_(process), meetings_(process), agent_(process, meetings_.couriers(), meetings_) {
        meetings_.set_agent(agent_);
    }
    bool start();

private:
    static void *main(void *self);
    void run();
    void take_submitted();
    void give_back();
    void look_for_orphans();
    void look_for_lent();
    bool lingers();
    void tell_releases();
    void doorbell();
    void socket_event(uint32_t index, uint32_t generation, uint32_t events);
    void look_after(Connection &connection);

    static constexpr uint64_t kTrimNs = 2'000'000'000, kTrimNsMax = 64'000'000'000;

    Process &process_;
    Meetings meetings_;
    Agent agent_;
    uint32_t submitted_ = 0;  ///< What is left of those that were taken last.
    uint64_t trim_due_ns_ = UINT64_MAX, trim_wait_ns_ = kTrimNs;
    static constexpr uint64_t kLingerNs = 10'000'000;
    static constexpr uint64_t kOrphansNs = 1'000'000'000;
    static constexpr uint64_t kFullNs = 1'000'000;  ///< A channel that took no more is tried again after this long.
    uint64_t orphans_due_ns_ = UINT64_MAX, releases_due_ns_ = UINT64_MAX, peers_due_ns_ = UINT64_MAX;
    static constexpr uint64_t kLentNs = 10'000'000, kLentNsMax = 64'000'000'000;
    uint64_t lent_due_ns_ = UINT64_MAX, lent_wait_ns_ = kLentNs;
};

bool HelperThread::start() {
    if (!meetings_.open()) return false;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, kStackSize);
    // The application's signals are for the application's threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    const int rc = pthread_create(&thread, &attributes, &HelperThread::main, this);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    return rc == 0;
}

void *HelperThread::main(void *self) {
    pthread_setname_np(pthread_self(), "sansock");
    helper_thread = true;
    Helper::adopt_this_thread();
    static_cast<HelperThread *>(self)->run();
    return nullptr;
}

void HelperThread::run() {
    const ClockMeasurement clock;
    if (Runtime *runtime = load_runtime()) {
        process_.set_policy(runtime->policy());
        process_.set_runtime(runtime);
    }
    process_.prepare_wake_objects();
    count_processors();
    clock.finish();
    agent_.start(meetings_.epoll_fd(), Watch{Watch::kAgent}.pack());
    for (;;) {
        epoll_event events[32];
        uint64_t due = std::min(
            {meetings_.next_due_ns(), agent_.next_due_ns(), trim_due_ns_, orphans_due_ns_, releases_due_ns_, peers_due_ns_, lent_due_ns_});
        const uint64_t now = now_ns();
        if (process_.is_child() && lingers()) due = std::min(due, now + kLingerNs);  // the peer rings the helper of our parent
        const int timeout_ms = submitted_ != 0     ? 0
                               : due == UINT64_MAX ? -1
                               : due <= now        ? 0
                                                   : static_cast<int>((due - now) / 1'000'000 + 1);
        const long count = raw_syscall(SYS_epoll_pwait, meetings_.epoll_fd(), events, 32, timeout_ms, nullptr, 8);
        if (count == -EBADF || count == -EINVAL) return process_.forbid_helper();  // the application has closed every number that there is
        for (long i = 0; i < count; ++i) {
            const Watch watch = Watch::unpack(events[i].data.u64);
            switch (watch.kind) {
                case Watch::kDoorbell: doorbell(); break;
                case Watch::kChannel: meetings_.channel_readable(watch.index); break;
                case Watch::kMeeting: meetings_.meeting_readable(watch.index); break;
                case Watch::kCourier: meetings_.couriers().notified(watch.index); break;
                case Watch::kAgent: agent_.readable(); break;
                case Watch::kSocket: socket_event(watch.index, watch.generation, events[i].events); break;
            }
        }
        take_submitted();
        meetings_.timers();
        meetings_.couriers().timers();
        meetings_.return_to_providers();
        agent_.timers();
        give_back();
        look_for_orphans();
        look_for_lent();
        tell_releases();
        peers_due_ns_ = release_peers(process_);
        process_.recycle();  // between two events this thread holds no connection
    }
}

void HelperThread::doorbell() {
    uint64_t count;
    raw_syscall(SYS_read, process_.helper_doorbell(), &count, sizeof count);
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Connection &connection = process_.connection_at(i);
        if (connection.is_open() && connection.mapped.load(std::memory_order_acquire)) look_after(connection);
    }
    meetings_.couriers().sweep();
    meetings_.flush_far();
    // A peer that did not know our wake object rings here: pass it on to whoever sleeps.
    for (Peer &peer : process_.peers()) {
        if (peer.used.load(std::memory_order_acquire) != 0 && peer.our_arenas.load() != 0) wake_sleepers(process_, peer);
    }
}

/// What the application's next call would do, in case it never comes.
void HelperThread::look_after(Connection &connection) {
    stream::Guard guard(connection.fd_lock);
    if (!connection.is_open() || !connection.mapped.load(std::memory_order_acquire) || !connection.is_in_family()) return;
    const Phase phase = connection.phase();
    stream::End &end = connection.end();
    if (end.needs_progress() || end.step_abandoned()) end.progress();
    const auto ours = static_cast<memory::EndState>(end.memory().mine->cold.state.load(std::memory_order_relaxed));
    if (ours == memory::EndState::kPoisoned && !connection.reset_logged) {
        connection.reset_logged = true;
        meetings_.warn(connection, static_cast<stream::Reason>(end.state().reason.load(std::memory_order_relaxed)));
    }
    // What a child of ours has said of a connection that it shares with us.
    if (connection.peer->far != nullptr && process_.has_children() &&
        std::exchange(connection.told_far, end.memory().mine->hot.attention.load(std::memory_order_acquire)) !=
            end.memory().mine->hot.attention.load(std::memory_order_relaxed))
        far_tell(*connection.peer, connection.arena, connection.slot);
    meetings_.couriers().look_after(connection);
    if (phase == Phase::kAttached && !connection.bytes_watched && end.on_provider(false)) meetings_.watch_socket(connection, true);
    if (phase == Phase::kLingering) finish_lingering(process_, connection);
}

void HelperThread::socket_event(uint32_t index, uint32_t generation, uint32_t events) {
    Connection &connection = process_.connection_at(index);
    stream::Guard guard(connection.fd_lock);
    if (!connection.is_open() || (connection.generation & 0xffffff) != generation || !connection.mapped.load(std::memory_order_acquire))
        return;
    // A clean double close is a hang-up without an error; a message in the socket's error queue is an error without a hang-up.
    const bool reset = (events & EPOLLHUP) != 0 && (events & EPOLLERR) != 0;
    const bool ended =
        (events & EPOLLHUP) != 0 ||
        ((events & EPOLLRDHUP) != 0 && !is_established(connection.fd.load()));  // our own shutdown(SHUT_RD) looks alike to epoll
    if (ended && !reset && connection.peer->far != nullptr) {
        meetings_.ask_before_end(connection);
    } else if (ended) {
        connection.end().tcp_ended(reset ? stream::kTcpReset : stream::kTcpFin);
    }
    if ((events & EPOLLIN) != 0) {
        connection.end().look_for_foreign_bytes();
        if (!connection.end().on_provider(false)) {
            meetings_.watch_socket(connection, false);  // the bytes are ours again, and many
            full_fence();
            if (connection.end().on_provider(false)) meetings_.watch_socket(connection, true);  // they were, a moment ago
        }
    }
    if ((events & EPOLLOUT) != 0 && connection.shared->stream.out.replaying) connection.end().progress();
    if (connection.phase() == Phase::kLingering) finish_lingering(process_, connection);
}

/// Buffers that have lain idle go back to the system. Looked for some seconds after arenas have grown, then ever more rarely, and not at
/// all once nothing is left to give.
void HelperThread::give_back() {
    const uint64_t now = now_ns();
    if (process_.take_growth()) {
        trim_wait_ns_ = kTrimNs;
        trim_due_ns_ = std::min(trim_due_ns_, now + kTrimNs);
    }
    if (now < trim_due_ns_) return;
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Connection &connection = process_.connection_at(i);
        if (!connection.is_open() || !connection.mapped.load(std::memory_order_acquire)) continue;
        stream::Guard guard(connection.fd_lock);
        if (!connection.is_open() || !connection.mapped.load(std::memory_order_acquire) || connection.phase() != Phase::kAttached) continue;
        const uint64_t out = connection.end().state().out.out.load(std::memory_order_relaxed);
        if (std::exchange(connection.rested_at, out) == out) connection.end().rest();
    }
    uint32_t resident = 0;
    for (Peer &peer : process_.peers()) {
        stream::Guard guard(peer.log_lock);
        for (uint32_t arena = 0; arena < peer.our_arenas.load(); ++arena) resident += peer.ours[arena].trim(false);
    }
    trim_due_ns_ = resident == 0 ? UINT64_MAX : now + trim_wait_ns_;
    trim_wait_ns_ = std::min(2 * trim_wait_ns_, kTrimNsMax);
}

/// What a full channel did not take.
void HelperThread::tell_releases() {
    bool all = true;
    for (Peer &peer : process_.peers()) {
        if (peer.used.load(std::memory_order_acquire) != 0 && peer.alive.load()) all &= Helper::tell_releases_again(peer);
    }
    releases_due_ns_ = all ? UINT64_MAX : now_ns() + kFullNs;
}

/// Whether some closed connection's peer has yet to read the rest. Those that have are done with.
bool HelperThread::lingers() {
    bool some = false;
    for (uint32_t i = 0; i < process_.connections_used(); ++i) {
        Connection &connection = process_.connection_at(i);
        if (!connection.is_open() || connection.phase() != Phase::kLingering) continue;
        look_after(connection);
        some |= connection.is_open();
    }
    return some;
}

/// Nobody says that a sibling has ended, so they are looked at now and then, as long as there are any.
void HelperThread::look_for_orphans() {
    const uint64_t now = now_ns();
    if (process_.take_orphans_expected()) orphans_due_ns_ = std::min(orphans_due_ns_, now + kOrphansNs);
    if (now >= orphans_due_ns_) orphans_due_ns_ = take_orphans_apart(process_) ? now + kOrphansNs : UINT64_MAX;
}

/// Nor that another program has. Looked for soon after one was started, then ever more rarely.
void HelperThread::look_for_lent() {
    const uint64_t now = now_ns();
    if (process_.take_lent_expected()) {
        lent_wait_ns_ = kLentNs;
        lent_due_ns_ = std::min(lent_due_ns_, now + kLentNs);
        process_.note_lent_watched(true);
    }
    if (now < lent_due_ns_) return;
    const Lending found = take_back_lent(process_);
    process_.note_lent_watched(found != Lending::kOver);
    lent_due_ns_ = found == Lending::kOver ? UINT64_MAX : now + (found == Lending::kLasts ? lent_wait_ns_ : kLentNs);
    lent_wait_ns_ = std::min(2 * lent_wait_ns_, kLentNsMax);
}

/// A few at a time: when a thousand connections come at once, the answers to the first must be read while the last are proposed.
void HelperThread::take_submitted() {
    if (submitted_ == 0) submitted_ = process_.take_submitted();
    for (int count = 0; submitted_ != 0 && count < kSubmittedAtOnce; ++count) {
        const uint32_t index = submitted_ - 1;
        submitted_ = process_.leave_submitted(index);
        Connection &connection = process_.connection_at(index);
        if (!connection.is_open()) continue;
        if (connection.phase() == Phase::kMeeting) meetings_.begin(connection);
        if (connection.phase() == Phase::kAttached)
            meetings_.watch_socket(connection, connection.end().on_provider(false));  // a parent's, until now
        if (connection.phase() == Phase::kLingering) {
            look_after(connection);
        }
    }
}

}  // namespace

bool Helper::start(Process &process) {
    // Never destroyed: the thread lives as long as the process. Replaced in a forked child, where the old one is the parent's.
    void *memory = mmap(nullptr, sizeof(HelperThread), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return false;
    return (new (memory) HelperThread(process))->start();
}

bool Helper::is_this_thread() { return helper_thread; }
bool Helper::has_this_thread() { return thread_of_ours; }
void Helper::adopt_this_thread() { thread_of_ours = true; }

void Helper::forget_after_fork(Process &process) {
    for (Peer &peer : process.peers()) {
        peer.alive.store(false, std::memory_order_relaxed);
        peer.inherited = true;
        // Its end tells the peer that its owner is gone.
        if (const int channel = peer.far == nullptr ? -1 : peer.channel.exchange(-1); channel >= 0) process.close_hidden(channel);
    }
    forget_couriers(process);
}

/// From any thread. The number of a channel that the helper closes meanwhile could soon be another descriptor's.
static int send_to(Peer &peer, const Message &message, int fd = -1) {
    if (peer.far != nullptr) return far_send(peer, FarType::kMessage, &message, sizeof message);
    stream::Guard guard(peer.channel_lock);
    const int channel = peer.channel.load(std::memory_order_relaxed);
    return channel < 0 ? -EPIPE : send_message(channel, message, fd);
}

bool Helper::tell_wake_object(Peer &peer, uint16_t id, int fd) {
    uint8_t untold = 0;
    if (peer.far != nullptr) return true;  // nobody over there could wake it
    if (!peer.told[id].compare_exchange_strong(untold, 1)) return true;
    Message message;
    message.type = MessageType::kWakeObject;
    message.waker = id;
    const int sent = send_to(peer, message, fd);
    if (sent < 0) peer.told[id].store(0);  // until then the peer rings the helper instead
    return sent >= 0 || sent == -EAGAIN || sent == -ETOOMANYREFS;
}

namespace {

int send_released(Peer &peer, uint32_t arena, uint32_t slot) {
    Message message;
    message.type = MessageType::kReleased;
    message.arena = arena;
    message.slot = slot;
    return send_to(peer, message);
}

}  // namespace

void Helper::tell_released(Connection &connection) {
    Peer &peer = *connection.peer;
    if (send_released(peer, connection.peer_arena, connection.peer_slot) != -EAGAIN) return;
    peer.unreleased[connection.peer_arena][connection.peer_slot / 64].fetch_or(uint64_t{1} << connection.peer_slot % 64);
    peer.owes_releases.store(true, std::memory_order_release);
    Process::get()->ring_helper();
}

bool Helper::tell_releases_again(Peer &peer) {
    if (!peer.owes_releases.load(std::memory_order_acquire)) return true;
    peer.owes_releases.store(false);
    for (uint32_t arena = 0; arena < kArenasPerPeer; ++arena) {
        for (uint32_t word = 0; word < memory::kSlotsPerArena / 64; ++word) {
            std::atomic<uint64_t> &slots = peer.unreleased[arena][word];
            for (uint64_t left = slots.load(); left != 0; left &= left - 1) {
                const auto bit = static_cast<uint32_t>(__builtin_ctzll(left));
                slots.fetch_and(~(uint64_t{1} << bit));
                if (send_released(peer, arena, word * 64 + bit) != -EAGAIN) continue;
                slots.fetch_or(uint64_t{1} << bit);
                peer.owes_releases.store(true);
                return false;
            }
        }
    }
    return true;
}

}  // namespace sansock::socket
