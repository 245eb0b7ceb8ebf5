// Between the parts of epoll: how registrations look in the kernel.
#pragma once
#include "socket/epoll.hpp"

namespace sansock::socket {

// What the kernel hands back for registrations that we made: no address and no small number has these top bits.
inline constexpr uint64_t kOurs = 0xa5c3'5a53'0000'0000u;
inline constexpr uint64_t kOursMask = 0xffff'ffff'0000'0000u;
inline constexpr uint32_t kWakeUp = 0xffff'ffffu;

inline bool in_user_space(const Connection &connection) {
    const Phase phase = connection.phase();
    return connection.mapped.load(std::memory_order_acquire) && (phase == Phase::kAttached || phase == Phase::kLingering);
}

/// epoll_ctl in the kernel, for a registration of ours.
long kernel_control(Epoll &epoll, int operation, EpollItem &item, uint32_t events);
/// An item for what the kernel has watched under the application's own data.
void adopt_item(Epoll &epoll, Connection &connection, int fd, uint32_t events, uint64_t data);
/// Tells the kernel what it must watch for an item from now on.
void sync_kernel(EpollItem &item);
/// The kernel has told of an item that the application has removed: it need not watch it any more.
void settle_dead(EpollItem &item);
/// Wakes whoever sleeps on the instance, or on what watches it.
void wake(Process &process, Epoll &epoll);
/// Whether the ready queue has anything to tell. Nothing is taken from it but what has not.
bool has_news(Epoll &epoll);

}  // namespace sansock::socket
