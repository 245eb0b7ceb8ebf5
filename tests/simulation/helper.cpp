// Mirrors HelperThread in framework/socket/helper.cpp.
#include <poll.h>

#include <utility>

#include "base/point.hpp"
#include "socket.hpp"

namespace sansock::simulation {

/// As HelperThread::run() in framework/socket/helper.cpp.
void World::run_helper(Process &p) {
    short known = 0;
    for (;;) {
        const short now = static_cast<short>(tcp.poll(p.side) & (POLLRDHUP | POLLHUP | POLLERR));
        const bool may_repeat = p.mapped && p.state().out.replaying && (tcp.poll(p.side) & POLLOUT) != 0;
        const bool far_work = p.far != nullptr && p.far->has_work();
        if (p.doorbell.count == 0 && (now & ~known) == 0 && !may_repeat && !p.channel_ended && !far_work) {
            known = now;
            const bool far = p.far != nullptr;
            scheduler.sleep({&p.doorbell, tcp.key(p.side), far ? channel.key(p.side) : nullptr}, far ? p.far->next_due_ns() : kForever);
            continue;
        }
        SANSOCK_POINT("helper");
        if (p.doorbell.count > 0) {
            p.doorbell.count = 0;
            if (p.mapped) look_after(p);
            if (p.far != nullptr) p.far->rung();
            for (uint16_t id = kFirstWaker; id < kWakersEnd; ++id) {
                if (p.arena.header().parked[id].load(std::memory_order_relaxed) != 0) p.wakers[id].ring();
            }
        }
        if (may_repeat && p.mapped) look_after(p);
        if (far_work) p.far->work();
        if (std::exchange(p.channel_ended, false) && p.mapped && p.phase == Phase::kAttached) {
            stream::Guard guard(p.fd_lock);
            if (p.mapped) p.end->peer_deserts();
        }
        if ((now & ~known) != 0) {
            known = now;
            if (!p.mapped) continue;
            cover(p, (now & POLLERR) != 0 ? Event::kReset : Event::kFin);
            scheduler.trace("TCP has ended: %x", static_cast<unsigned>(now));
            if (p.far != nullptr) {
                p.far->tcp_event(now);
                continue;
            }
            if ((now & (POLLERR | POLLHUP)) != 0) {
                p.end->tcp_ended((now & POLLERR) != 0 ? stream::kTcpReset : stream::kTcpFin);
            } else {
                p.end->tcp_ended(stream::kTcpFin);
            }
            if (p.phase == Phase::kLingering) finish_lingering(p);
        }
    }
}

void World::look_after(Process &p) {
    stream::Guard guard(p.fd_lock);
    if (!p.mapped) return;
    cover(p, Event::kHelper);
    stream::End &end = *p.end;
    if (end.needs_progress()) end.progress();
    if (p.far != nullptr) p.far->look_after();
    if (p.phase == Phase::kLingering) finish_lingering(p);
}

}  // namespace sansock::simulation
