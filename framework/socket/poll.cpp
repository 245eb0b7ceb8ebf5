#include "socket/poll.hpp"

#include <sys/mman.h>

#include <cstring>

#include "base/guarded_copy.hpp"
#include "socket/courier.hpp"
#include "socket/epoll.hpp"
#include "socket/required.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

constexpr nfds_t kOnStack = 64;
constexpr uint64_t kSharedSleepNs = 50'000'000;

Connection *stream_connection(Process &process, int fd) {
    Connection *connection = process.connection(fd);
    if (connection == nullptr || !connection->mapped.load(std::memory_order_acquire)) return nullptr;
    return connection->phase() == Phase::kAttached ? connection : nullptr;
}

/// A copy of the caller's array for the kernel, with one place more for our own eventfd. Large ones get pages of their own, for malloc
/// is not ours to call.
class KernelSet final : public Undo {
public:
    explicit KernelSet(nfds_t count) : Undo(nullptr), size_((count + 1) * sizeof(pollfd)) {
        if (count < kOnStack) return;
        void *memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        large_ = memory == MAP_FAILED ? nullptr : static_cast<pollfd *>(memory);
        failed_ = large_ == nullptr;
    }
    ~KernelSet() { KernelSet::undo(); }
    [[nodiscard]] bool failed() const { return failed_; }
    [[nodiscard]] pollfd *fds() { return large_ != nullptr ? large_ : small_; }

private:
    void undo() override {
        if (large_ != nullptr) munmap(large_, size_);
    }
    size_t size_;
    bool failed_ = false;
    pollfd *large_ = nullptr;
    pollfd small_[kOnStack];
};

/// Neither readable nor writable yet, whatever the kernel says.
bool held_back(Process &process, int fd) {
    Connection *connection = process.connection(fd);
    return connection != nullptr && is_held_back(*connection) && await_upgrade(*connection, false) == -EAGAIN;
}

struct Look {
    int ready = 0;        ///< Descriptors with events.
    bool kernel = false;  ///< Some descriptors are, in part, the kernel's.
    bool on_my_cpu = false;
    bool sets = false;  ///< Some are epoll instances.
    bool again_soon = false;
    bool new_waker = false;  ///< Some connection has only now learned whom to wake.
    bool shared = false;     ///< Some are on a provider, and a relative that has them too may take them back to TCP. It cannot wake us.
};

/// Connections of a set that TCP alone will wake a sleeper for. As long as they are counted no peer is told that it may leave TCP.
class OnTcp final : public Undo {
public:
    OnTcp(Undo *outer, Process &process, const pollfd *fds, nfds_t count) : Undo(outer) {
        nfds_t most = 0;
        for (nfds_t i = 0; i < count; ++i) most += process.connection(fds[i].fd) != nullptr;
        if (most > kOnStack) {
            size_ = most * sizeof(Counted);
            void *memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            large_ = memory == MAP_FAILED ? nullptr : static_cast<Counted *>(memory);
            if (large_ == nullptr) most = kOnStack;  // the others may be told too early, and then a sleep ends late
        }
        for (nfds_t i = 0; i < count && used_ < most; ++i) {
            Connection *connection = process.connection(fds[i].fd);
            if (connection == nullptr || connection->phase() == Phase::kTcpOnly || stream_connection(process, fds[i].fd) != nullptr)
                continue;
            counted()[used_++] = {connection, connection->generation};
            // The counter first, then the look: whoever attaches the connection looks at the counter afterwards.
            connection->shared->stream.kernel_reads.fetch_add(1, std::memory_order_seq_cst);
            too_late_ |= connection->shared->stream.attached.load(std::memory_order_seq_cst) != 0;
        }
    }
    ~OnTcp() { OnTcp::undo(); }
    /// One of them has been attached meanwhile, so that its next bytes may come without TCP.
    [[nodiscard]] bool too_late() const { return too_late_; }

private:
    struct Counted {
        Connection *connection;
        uint32_t generation;  ///< Another thread may close it, and its place be given away, while we sleep.
    };
    Counted *counted() { return large_ != nullptr ? large_ : small_; }
    void undo() override {
        for (nfds_t i = 0; i < used_; ++i) {
            const Counted &each = counted()[i];
            if (each.connection->generation == each.generation)
                each.connection->shared->stream.kernel_reads.fetch_sub(1, std::memory_order_release);
        }
        used_ = 0;
        if (large_ != nullptr) munmap(large_, size_);
        large_ = nullptr;
    }
    nfds_t used_ = 0;
    bool too_late_ = false;
    size_t size_ = 0;
    Counted *large_ = nullptr;
    Counted small_[kOnStack];
};

/// Fills the kernel's set with what is the kernel's part. `id`: the wake object that the thread is about to sleep on.
Look prepare(Process &process, const pollfd *fds, nfds_t count, pollfd *kernel, uint16_t id) {
    Look look;
    const bool has_relatives = process.has_children() || process.is_child();
    for (nfds_t i = 0; i < count; ++i) {
        kernel[i] = fds[i];
        kernel[i].revents = 0;
        Connection *connection = stream_connection(process, fds[i].fd);
        if (connection == nullptr && held_back(process, fds[i].fd)) {
            kernel[i].fd = -1;
            look.again_soon = true;
            continue;
        }
        if (connection == nullptr) {
            look.kernel |= fds[i].fd >= 0;
            look.sets |= process.epoll(fds[i].fd) != nullptr;
            if (Epoll *set = process.epoll(fds[i].fd)) set->nested.store(true, std::memory_order_relaxed);
            continue;
        }
        stream::End &end = connection->end();
        if (end.attention_pending() || end.step_abandoned()) end.progress();
        look.new_waker |= id != memory::kNoWaker && add_waker(*connection, id);
        get_ready(*connection);
        if (id != memory::kNoWaker) leave_to_helper(*connection);
        carry(*connection);
        const bool held = end.held_back();
        const bool in = end.on_provider(false) || end.awaits_end(), out = !end.kernel_takes_output() || held;
        look.again_soon |= held || end.stepping();
        if (in && out) {
            kernel[i].fd = -1;
            look.shared |=
                id != memory::kNoWaker && has_relatives && !connection->shared->holders.only(static_cast<uint32_t>(process.pid()));
            look.on_my_cpu |= end.memory().peer->hot.cpu.load(std::memory_order_relaxed) == current_cpu();
        } else {
            kernel[i].events = static_cast<short>(
                fds[i].events & ((in ? 0 : POLLIN | POLLRDNORM | POLLPRI | POLLRDHUP) | (out ? 0 : POLLOUT | POLLWRNORM)));
            look.kernel = true;
        }
    }
    if (look.sets) look.again_soon |= refresh_sets(process);
    return look;
}

/// The answer as it stands, given what the kernel said.
int judge(Process &process, pollfd *fds, nfds_t count, const pollfd *kernel) {
    int ready = 0;
    for (nfds_t i = 0; i < count; ++i) {
        Connection *connection = stream_connection(process, fds[i].fd);
        if (connection == nullptr) {
            fds[i].revents = kernel[i].revents;
            Epoll *set = fds[i].revents != 0 ? process.epoll(fds[i].fd) : nullptr;
            if (set != nullptr && !readable(*set)) fds[i].revents = 0;
        } else {
            fds[i].revents = static_cast<short>(connection->end().events(kernel[i].fd >= 0 ? kernel[i].revents : 0) &
                                                (fds[i].events | POLLERR | POLLHUP));
        }
        ready += fds[i].revents != 0;
    }
    return ready;
}

long kernel_poll(pollfd *fds, nfds_t count, uint64_t timeout_ns, const sigset_t *mask, Undo *undo) {
    timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000u), static_cast<long>(timeout_ns % 1'000'000'000u)};
    return sleep_in(undo, SYS_ppoll, fds, count, timeout_ns == kForever ? nullptr : &timeout, mask, 8);
}

}  // namespace

bool poll_has_ours(const pollfd *fds, nfds_t count) {
    Process *process = Process::get();
    if (process == nullptr) return false;
    bool ours = false;
    for (nfds_t i = 0; i < count; ++i) {
        pollfd fd;
        if (!guarded_copy(&fd, &fds[i], sizeof fd)) return false;  // the kernel will say EFAULT
        ours |= process->connection(fd.fd) != nullptr || process->epoll(fd.fd) != nullptr;
    }
    return ours;
}

int poll_both(pollfd *fds, nfds_t count, uint64_t timeout_ns, const sigset_t *mask) {
    Process &process = *Process::get();
    KernelSet set(count);
    if (set.failed()) return -ENOMEM;
    pollfd *kernel = set.fds();
    const uint64_t deadline = timeout_ns == 0 || timeout_ns == kForever ? timeout_ns : now_ns() + timeout_ns;
    for (;;) {
        const Look look = prepare(process, fds, count, kernel, memory::kNoWaker);
        if (look.kernel) {
            const long rc = kernel_poll(kernel, count, 0, nullptr, &set);
            if (rc < 0 && rc != -EINTR) return static_cast<int>(rc);
        }
        int ready = judge(process, fds, count, kernel);
        if (ready > 0 || deadline == 0) return ready;

        const uint16_t id = thread_waker();
        Connection *one = nullptr;
        for (nfds_t i = 0; i < count; ++i) {
            if (Connection *connection = stream_connection(process, fds[i].fd)) one = connection;
        }
        if (one != nullptr) {
            // The kernel's descriptors have just been asked, and are asked again when this is over.
            Spin spin(one->spin_in, process.policy().spin_ns_max, look.on_my_cpu);
            while (ready == 0 && spin.again()) ready = judge(process, fds, count, kernel);
            if (ready > 0) {
                spin.learn();
                return ready;
            }
        }
        long rc = 0;
        uint64_t at = 0;
        Parking parking(&set, process, id);
        // A publication in the very moment of parking may be missed: the first sleep is short, and after it comes a look that needs no
        // new announcement.
        const uint64_t asleep_since = ticks();
        for (bool first = true; rc == 0; first = false) {
            const Look now = prepare(process, fds, count, kernel, id);
            if (now.new_waker) park(process, id);  // its peer may be one that has not heard yet that we sleep
            for (nfds_t i = 0; i < count; ++i) kernel[i].revents = 0;
            ready = judge(process, fds, count, kernel);
            if (ready > 0) break;
            kernel[count] = {id == memory::kNoWaker ? -1 : process.wake_object(id).fd.load(), POLLIN, 0};
            at = now_ns();
            if (!first && deadline != kForever && at >= deadline) break;
            uint64_t left = deadline == kForever ? kForever : deadline > at ? deadline - at : 0;
            if (id == memory::kNoWaker) left = std::min<uint64_t>(left, 1'000'000);
            OnTcp on_tcp(&parking, process, fds, count);
            const bool short_sleep = first || now.again_soon || now.new_waker || on_tcp.too_late();
            const uint64_t longest = short_sleep ? kFirstSleepNs : now.shared ? kSharedSleepNs : kForever;
            rc = kernel_poll(kernel, count + 1, std::min(left, longest), mask, &on_tcp);
            if (longest == kForever && rc == 0) break;
        }
        if (rc > 0 && (kernel[count].revents & POLLIN) != 0) {
            uint64_t woken;
            raw_syscall(SYS_read, kernel[count].fd, &woken, sizeof woken);
        }
        if (at != 0) note_sleep(asleep_since);
        if (one != nullptr && at != 0) one->spin_in.learn(static_cast<uint32_t>(std::min<uint64_t>(now_ns() - at, 1'000'000)));
        if (rc < 0) return static_cast<int>(rc);
        ready = judge(process, fds, count, kernel);
        if (ready > 0) return ready;
        if (deadline != kForever && now_ns() >= deadline) return 0;
    }
}

int poll_any(pollfd *fds, nfds_t count, uint64_t timeout_ns, const sigset_t *mask) {
    Process *const known = Process::get();
    if (known == nullptr) return static_cast<int>(kernel_poll(fds, count, timeout_ns, mask, nullptr));
    Process &process = *known;
    bool streams = false;
    for (nfds_t i = 0; i < count && !streams; ++i) {
        const int fd = fds[i].fd;
        streams = stream_connection(process, fd) != nullptr || held_back(process, fd) || process.epoll(fd) != nullptr;
    }
    if (!streams) {
        OnTcp on_tcp(nullptr, process, fds, count);
        if (!on_tcp.too_late()) return static_cast<int>(kernel_poll(fds, count, timeout_ns, mask, &on_tcp));
    }
    return poll_both(fds, count, timeout_ns, mask);
}

}  // namespace sansock::socket
