// Waiting for many streams in one thread, beside any other descriptors: an epoll instance that knows streams.
#pragma once
#include <sys/epoll.h>

#include <span>

#include "sansock/stream.hpp"

namespace sansock {

/// A stream is watched by its descriptor() and must be removed, or destroyed, by the process that opened it. An
/// epoll instance made with epoll_create1() would not see what a provider carries.
///
/// Threads: as with epoll, several may wait at once, while others add, modify and remove; EPOLLONESHOT tells one of them
/// alone. Nobody moves or destroys a Poller that another thread is using.
class Poller {
public:
    [[nodiscard]] static Expected<Poller> open();

    Poller() = default;
    Poller(Poller &&other) noexcept;
    Poller &operator=(Poller &&other) noexcept;
    ~Poller();

    /// epoll_ctl(2) with EPOLL_CTL_ADD, EPOLL_CTL_MOD and EPOLL_CTL_DEL; level, edge and one-shot events as there.
    [[nodiscard]] Expected<void> add(int descriptor, epoll_event event);
    [[nodiscard]] Expected<void> modify(int descriptor, epoll_event event);
    [[nodiscard]] Expected<void> remove(int descriptor);

    /// Waits for at least one event and answers how many it has put into `events`; 0 at the deadline. Empty `events` are EINVAL
    /// at once. Signals do not end the wait.
    [[nodiscard]] Expected<std::size_t> wait(std::span<epoll_event> events, Deadline deadline = kNoDeadline);

private:
    explicit Poller(int fd) : fd_(fd) {}
    [[nodiscard]] Expected<void> control(int operation, int descriptor, epoll_event *event);

    int fd_ = -1;
};

}  // namespace sansock
