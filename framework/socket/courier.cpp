#include "socket/courier.hpp"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>

#include <bit>
#include <utility>

#include "base/point.hpp"
#include "socket/epoll.hpp"
#include "socket/message.hpp"
#include "socket/report.hpp"
#include "socket/waiting.hpp"

namespace sansock::socket {
namespace {

/// A path that breaks because the peer died is told from one that failed by the end of the TCP connection, which follows at once.
constexpr uint64_t kGraceNs = 5'000'000, kGraceFarNs = 500'000'000;
constexpr uint32_t kCouriersMax = kConnectionsMax;
constexpr uint64_t kHoldTimesMax = 64;  ///< How much longer than at first a provider that fails again and again is left alone.

Courier *couriers = nullptr;  ///< Reserved by the helper.
std::atomic<uint32_t> couriers_high{0};
/// Some path waits for its peer: the helper looks now and then whether it still may.
std::atomic<bool> watching{false};
/// Some thread attends to its connection, or did when the helper looked last.
std::atomic<bool> attending{false};
/// No call into a plugin interrupts another one: a signal handler that sends leaves the work to the helper.
thread_local bool inside __attribute__((tls_model("initial-exec"))) = false;

/// Wakes the threads and epoll instances of this process that wait for what has come.
void wake(Connection &connection, const path::Moved &moved) {
    if (!moved.arrived && !moved.room) return;
    const stream::End::Memory &memory = connection.end().memory();
    full_fence();  // against sleepers, who park and then look once more
    if (moved.arrived && memory.mine->hot.parked_in.load(std::memory_order_relaxed) != 0) futex_wake_all(low_word(memory.path->hot.tail));
    if (moved.room && memory.mine->hot.parked_out.load(std::memory_order_relaxed) != 0) futex_wake_all(low_word(memory.path->hot.consumed));
    if (Courier *courier = connection.courier.load(std::memory_order_acquire)) courier->attendance.wake();
    queue_items(connection);
    Process &process = *Process::get();
    Peer &peer = *connection.peer;
    for (const auto &entry : memory.mine->hot.wakers) {
        const uint16_t id = entry.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker) break;
        if (id == kHelperWaker || id >= memory::kWakeObjects) {  // the helper, or more than there are places for: it wakes them all
            process.ring_helper();
            break;
        }
        const uint64_t one = 1;
        if (peer.ours[0].header().parked[id].load(std::memory_order_relaxed) != 0) {
            raw_syscall(SYS_write, process.wake_object(id).fd.load(std::memory_order_relaxed), &one, sizeof one);
        }
    }
}

/// The path is there, for which somebody may be asleep who would have declared himself ready. A round of the carrier ends with a fence.
bool is_due(const Courier &courier) { return courier.awaited.load(std::memory_order_relaxed) && courier.carrier.established(); }

void get_ready_at_last(Courier &courier, Connection &connection) {
    if (is_due(courier) && courier.awaited.exchange(false)) get_ready(connection);
}

void after(Connection &connection, const path::Moved &moved) {
    wake(connection, moved);
    const bool unwatched = moved.waits && !watching.load(std::memory_order_relaxed) && !watching.exchange(true, std::memory_order_relaxed);
    if (moved.failed || unwatched) Process::get()->ring_helper();
}

/// For a thread of the application. Whether something is left to be sent.
template <class Move>
bool carry_by(Connection &connection, Move &&move) {
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (courier == nullptr) return false;
    if (inside) {
        Process::get()->ring_helper();
        return false;
    }
    inside = true;
    const int saved = errno;  // a plugin's system calls are none of the application's
    const path::Moved moved = move(*courier);
    errno = saved;
    inside = false;
    if (__builtin_expect(is_due(*courier), 0)) Process::get()->ring_helper();
    after(*courier->connection, moved);  // which is another than `connection` only when that was closed meanwhile
    return moved.left;
}

/// Some thread sleeps until the helper, or another thread, finds that something has come.
bool others_wait(Connection &connection) {
    const stream::End::Memory &memory = connection.end().memory();
    const memory::HotLine &mine = memory.mine->hot;
    if (mine.parked_in.load() != 0 || mine.parked_out.load() != 0) return true;
    for (const auto &entry : mine.wakers) {
        const uint16_t id = entry.load(std::memory_order_relaxed);
        if (id == memory::kNoWaker) return false;
        if (id == kHelperWaker || id >= memory::kWakeObjects || connection.peer->ours[0].header().parked[id].load() != 0) return true;
    }
    return false;
}

}  // namespace

void carry_now(Connection &connection, bool arm) {
    const bool left = carry_by(connection, [arm](Courier &courier) { return courier.carrier.move(arm && !courier.attendance.attended()); });
    if (arm && left) leave_to_helper(connection);
}

void carry_notified(Connection &connection) {
    carry_by(connection, [](Courier &courier) { return courier.carrier.move_notified(false); });
}

void carry_before_sleep(Connection &connection) {
    carry_by(connection, [](Courier &courier) { return courier.carrier.move(true); });
}

bool attend(Connection &connection) {
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (courier == nullptr || connection.items.load(std::memory_order_relaxed) != nullptr || others_wait(connection)) return false;
    if (!courier->attendance.attend(connection, *courier)) return false;
    if (!attending.load() && !attending.exchange(true)) Process::get()->ring_helper();
    full_fence();  // who goes to sleep at this moment is seen here, or sees that the helper does not listen
    if (!others_wait(connection)) return true;
    leave_to_helper(connection);
    return false;
}

void leave_to_helper(Connection &connection) {
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (courier != nullptr && courier->attendance.leave(connection, *courier)) carry_now(connection, true);
}

void ask_how_far(Connection &connection) {
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (courier == nullptr) return;
    const path::Moved moved = courier->carrier.ask();
    after(connection, moved);
    if (moved.left) leave_to_helper(connection);
}

void retire_courier(Connection &connection) {
    Courier *courier = connection.courier.exchange(nullptr, std::memory_order_acq_rel);
    if (courier == nullptr) return;
    courier->carrier.stop();
    SANSOCK_POINT("M5.retired");
    courier->state.store(Courier::kRetired, std::memory_order_release);
    Process::get()->ring_helper();
}

void forget_couriers(Process &process) {
    for (uint32_t i = 0; i < process.connections_used(); ++i) {
        Connection &connection = process.connection_at(i);
        if (connection.courier.exchange(nullptr, std::memory_order_relaxed) != nullptr)
            connection.inherited.store(Connection::kCourier, std::memory_order_relaxed);
        connection.idle_courier = nullptr;
    }
    couriers = nullptr;  // what they were stays mapped: the connections look at their landings
    couriers_high.store(0);
    for (Peer &peer : process.peers()) peer.has_windows.store(false, std::memory_order_relaxed);
    watching.store(false, std::memory_order_relaxed);
    attending.store(false, std::memory_order_relaxed);
    forget_listening_threads();
    inside = false;
}

uint32_t Couriers::index_of(const Courier &courier) { return static_cast<uint32_t>(&courier - couriers); }

Courier *Couriers::courier_at(uint32_t index) { return index < couriers_high.load(std::memory_order_relaxed) ? &couriers[index] : nullptr; }

Courier *Couriers::new_courier() {
    if (couriers == nullptr) {
        void *memory =
            mmap(nullptr, kCouriersMax * sizeof(Courier), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return nullptr;
        couriers = static_cast<Courier *>(memory);
    }
    const uint32_t high = couriers_high.load(std::memory_order_relaxed);
    for (uint32_t i = 0; i < high; ++i) {
        if (couriers[i].state.load(std::memory_order_acquire) == Courier::kFree) return &couriers[i];
    }
    if (high == kCouriersMax) return nullptr;
    couriers_high.store(high + 1, std::memory_order_release);
    return new (&couriers[high]) Courier{};
}

void *Couriers::create(const Choice &choice) {
    void *endpoint = process_.runtime()->create(choice);
    if (endpoint == nullptr && process_.runtime()->lost() != 0) process_.ring_helper();  // to sweep()
    return endpoint;
}

Courier *Couriers::prepare(const Choice &choice, stream::Reason &reason) {
    reason = stream::Reason::kNoResources;
    Courier *courier = new_courier();
    if (courier == nullptr) return nullptr;
    reason = stream::Reason::kNoProvider;
    courier->endpoint = create(choice);
    if (courier->endpoint == nullptr) return nullptr;
    courier->connection = nullptr;
    courier->provider = choice.provider;
    courier->decide_ns = 0;
    courier->awaited.store(false, std::memory_order_relaxed);
    courier->limits = choice.messages;
    courier->hold_ns = 0;
    courier->asked_epoch = 0;
    courier->state.store(Courier::kMeeting, std::memory_order_relaxed);
    reason = land(*courier, choice);
    if (reason == stream::Reason::kNone) return courier;
    close(*courier);
    return nullptr;
}

/// For so many slots with their receives, and for those that were allotted before a provider let go of the arena.
bool Couriers::cover_landing(LandingArena &landing, const Choice &choice, uint32_t slots) {
    memory::Arena &arena = landing.arena;
    path::Registered &registered = landing.registered;
    if (!registered.is_open()) registered.open(arena);
    const uint32_t buffers = std::max(arena.buffers_limit(), std::min(slots * choice.messages.receives, arena.shape().buffers));
    if (!register_with(choice.provider, [&](auto &&add) { return registered.cover_buffers(buffers, add); })) return false;
    arena.limit_buffers(buffers);
    return true;
}

/// Finds room for the receives, in an arena that the provider knows. Or why there is none.
stream::Reason Couriers::land(Courier &courier, const Choice &choice) {
    for (LandingArena &landing : landings_) {
        memory::Arena &arena = landing.arena;
        if (!arena.is_open()) {
            const int rc = arena.create(choice.buffer_size + path::kFrameRoom, choice.max_memory, process_.account(choice.provider));
            if (rc < 0) return rc == -ENOBUFS ? stream::Reason::kMaxMemory : stream::Reason::kNoResources;
            arena.forget_fd();
            arena.limit_buffers(0);
            landing.provider = choice.provider;
        }
        if (landing.provider != choice.provider) continue;
        if (!cover_landing(landing, choice, arena.slots_taken() + 1)) return stream::Reason::kNoProvider;
        if (!courier.carrier.open(arena, choice.messages.receives)) continue;
        courier.landing = static_cast<uint32_t>(&landing - landings_);
        return lend(courier, choice) ? stream::Reason::kNone : stream::Reason::kNoProvider;
    }
    return stream::Reason::kMaxMemory;
}

/// Posts the receives.
bool Couriers::lend(Courier &courier, const Choice &choice) {
    LandingArena &landing = landings_[courier.landing];
    const uint32_t slot = landing.arena.index_of(courier.carrier.landing().slot());
    return register_with(choice.provider, [&](auto &&add) { return landing.registered.cover_slot(slot, add); }) &&
           courier.carrier.lend(process_.runtime()->messages(courier.endpoint), &landing.registered);
}

void Couriers::introduce(const Courier &courier, Message &message) {
    message.receives = courier.carrier.landing().receives();
    message.message_bytes = courier.carrier.landing().message_bytes();
}

/// The arena that the connection keeps its bytes in, registered as far as it and all others in it may come to use; nullptr: it cannot be.
const path::Registered *Couriers::window_of(const Connection &connection, const Choice &choice) {
    Peer &peer = *connection.peer;
    if (!peer.has_windows.exchange(true)) std::fill(std::begin(peer.windows), std::end(peer.windows), path::Registered{});
    path::Registered &window = peer.windows[connection.arena];
    memory::Arena &arena = peer.ours[connection.arena];
    if (!window.is_open()) window.open(arena);
    arena.keep_pages();
    // One more, so that nobody who holds as many as he may is taken for one who finds none. And those that were allotted before a provider
    // let go of the arena.
    const uint32_t buffers =
        std::max(arena.buffers_limit(), std::min(arena.slots_taken() * choice.send_buffers + 1, arena.shape().buffers));
    const bool covered = register_with(
        choice.provider, [&](auto &&add) { return window.cover_slot(connection.slot, add) && window.cover_buffers(buffers, add); });
    if (!covered) return nullptr;
    arena.limit_buffers(buffers);
    return &window;
}

bool Couriers::start(Courier &courier, Connection &connection, const Choice &choice, uint32_t epoch, const Message &peer) {
    const stream::End::Memory &memory = connection.end().memory();
    const path::Registered *window = window_of(connection, choice);
    const bool sound =
        peer.receives >= path::Credits::kReceivesMin && peer.receives <= path::kReceivesMax && peer.message_bytes >= memory::kPage;
    if (!sound || window == nullptr) return false;
    const bool answers = connection.shared->role == Role::kAccept;
    const bool one_first = courier.limits.answerer_sends_first;
    courier.carrier.start({memory.arena, memory.mine, memory.peer, window, &connection.shared->stream, memory.far},
                          {.epoch = epoch,
                           .send_depth = courier.limits.sends,
                           .message_bytes = std::min(courier.limits.message_bytes, peer.message_bytes),
                           .peer_receives = peer.receives,
                           .waits_for_first = one_first && !answers,
                           .sends_first = one_first && answers});
    courier.connection = &connection;
    courier.generation = connection.generation;
    courier.decide_ns = 0;
    courier.began_ns = now_ns();
    connection.idle_courier = nullptr;
    courier.state.store(Courier::kCarrying, std::memory_order_release);
    connection.courier.store(&courier, std::memory_order_release);
    return true;
}

void Couriers::close(Courier &courier) {
    close_endpoint(courier);
    courier.carrier.close();
    courier.state.store(Courier::kFree, std::memory_order_release);
}

void Couriers::close_endpoint(Courier &courier) {
    courier.carrier.stop();
    courier.attendance.close();
    if (courier.endpoint != nullptr) process_.runtime()->close(std::exchange(courier.endpoint, nullptr));
}

/// The epoch is over, and the connection on TCP. Its memory stays where it is, for whoever looks at the stream knows the landing's slot.
void Couriers::rest(Courier &courier, Connection &connection) {
    close_endpoint(courier);
    courier.state.store(Courier::kIdle, std::memory_order_release);
    connection.idle_courier = &courier;
    const bool was_drained = connection.reason() == stream::Reason::kDrained;
    const bool had_come = courier.carrier.established() && now_ns() - courier.began_ns >= courier.hold_ns;
    if (was_drained || had_come) courier.hold_ns = 0;
    hold(courier, !was_drained);
}

void Couriers::hold(Courier &courier, bool longer) {
    close_endpoint(courier);
    courier.asked_epoch = 0;
    const uint64_t first = process_.policy().return_after_ns;
    if (longer || courier.hold_ns == 0) courier.hold_ns = std::clamp(2 * courier.hold_ns, first, kHoldTimesMax * first);
    wait(courier, courier.connection->shared->role == Role::kConnect ? now_ns() + courier.hold_ns : UINT64_MAX);
}

bool Couriers::prepare_again(Courier &courier, const Choice &choice) {
    close_endpoint(courier);
    const path::Landing &place = courier.carrier.landing();
    const bool fits = choice.carries_messages && choice.messages.receives == place.receives() &&
                      choice.buffer_size + path::kFrameRoom == place.message_bytes();
    if (!fits || landings_[courier.landing].provider != choice.provider) return false;
    courier.endpoint = create(choice);
    if (courier.endpoint == nullptr) return false;
    courier.awaited.store(false, std::memory_order_relaxed);
    courier.limits = choice.messages;
    return cover_landing(landings_[courier.landing], choice, 0) && lend(courier, choice);
}

void Couriers::wait(Courier &courier, uint64_t until_ns) {
    courier.return_ns = until_ns;
    return_due_ns_ = std::min(return_due_ns_, until_ns);
}

void Couriers::await_answer(Courier &courier, uint32_t epoch) {
    courier.asked_epoch = epoch;
    wait(courier, now_ns() + process_.policy().rendezvous_timeout_ns);
}

bool Couriers::is_idle_of(Courier &courier, Connection &connection) {
    const bool has_it = connection.is_open() && connection.generation == courier.generation && connection.idle_courier == &courier &&
                        connection.mapped.load(std::memory_order_acquire) && connection.phase() == Phase::kAttached;
    if (has_it && connection.shared->stream.pinned.load(std::memory_order_relaxed) == 0) return true;
    if (connection.idle_courier == &courier) connection.idle_courier = nullptr;
    close(courier);
    courier.return_ns = UINT64_MAX;
    return false;
}

void Couriers::return_soon(Connection &connection) {
    Courier *courier = connection.idle_courier;
    if (courier == nullptr || courier->endpoint != nullptr || courier->return_ns == UINT64_MAX) return;
    wait(*courier, now_ns());
}

void Couriers::notified(uint32_t index) {
    Courier &courier = couriers[index];
    if (courier.state.load(std::memory_order_acquire) != Courier::kCarrying) return;
    Connection &connection = *courier.connection;
    stream::Guard guard(connection.fd_lock);
    if (connection.courier.load(std::memory_order_acquire) != &courier || connection.generation != courier.generation) return;
    const path::Moved moved = courier.carrier.move_notified(true);
    after(connection, moved);
    if (moved.left) leave_to_helper(connection);
    get_ready_at_last(courier, connection);
    if (moved.failed) fail(courier, connection);
    if (connection.phase() == Phase::kLingering) finish_lingering(process_, connection);
}

void Couriers::let_rest(Connection &connection) {
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (courier == nullptr || !connection.courier.compare_exchange_strong(courier, nullptr)) return;  // it is retired
    const bool for_good = connection.shared->stream.pinned.load(std::memory_order_relaxed) != 0;
    return for_good || connection.phase() != Phase::kAttached ? close(*courier) : rest(*courier, connection);
}

void Couriers::look_after(Connection &connection) {
    Courier *courier = connection.courier.load(std::memory_order_acquire);
    if (courier == nullptr) return;
    if (!courier->carrier.is_of_epoch(connection.shared->stream.epoch.load(std::memory_order_acquire))) return let_rest(connection);
    carry_now(connection, true);
    get_ready_at_last(*courier, connection);
    if (courier->carrier.failed()) fail(*courier, connection);
}

bool Couriers::peer_is_gone(Connection &connection) {
    if (connection.shared->stream.tcp_ended.load(std::memory_order_acquire) != stream::kTcpOpen) return true;
    const stream::End::Memory &memory = connection.end().memory();
    const auto state = static_cast<memory::EndState>(memory.peer->cold.state.load(std::memory_order_acquire));
    if (state == memory::EndState::kReset || state == memory::EndState::kPoisoned || state == memory::EndState::kLeft) return true;
    // It has closed, and everything it ever sent is here.
    if (state == memory::EndState::kClosed && memory.peer->cold.fin.load(std::memory_order_acquire) != 0 &&
        memory.peer->cold.fin_at.load(std::memory_order_relaxed) <= memory.path->hot.tail.load(std::memory_order_relaxed)) {
        return true;
    }
    pollfd fd{connection.fd.load(), POLLRDHUP, 0};
    const timespec none{};
    return raw_syscall(SYS_ppoll, &fd, 1, &none, nullptr, 8) == 1;
}

/// The peer's death breaks the path as well, and is not the provider's fault: what the peer had published is read from its window.
void Couriers::fail(Courier &courier, Connection &connection) {
    const stream::End::Memory &memory = connection.end().memory();
    const uint32_t epoch = connection.shared->stream.epoch.load(std::memory_order_relaxed);
    if (!courier.carrier.is_of_epoch(epoch)) return;
    if (courier.carrier.status() == SANSOCK_ENODEV && courier.endpoint != nullptr) {  // the system waits for all of it to be closed
        process_.runtime()->lose(courier.provider);
        close_endpoint(courier);
        process_.ring_helper();
    }
    const bool stepping = memory.mine->cold.frozen.load(std::memory_order_relaxed) == epoch ||
                          memory.peer->cold.step.load(std::memory_order_acquire) == epoch;
    if (stepping || peer_is_gone(connection)) return;
    if (memory.peer->cold.pinned.load(std::memory_order_acquire) != 0 &&
        memory.peer->cold.switched.load(std::memory_order_acquire) != epoch && !connection.end().on_provider(true)) {
        // It gave the meeting up after we had answered: nothing has moved, and nobody is there to step back with.
        connection.shared->stream.pinned.store(1, std::memory_order_relaxed);
        connection.set_reason(stream::Reason::kPeerDeclined);
        return retire_courier(connection);
    }
    if (courier.carrier.status() == SANSOCK_ECONNRESET) {
        const uint64_t now = now_ns();
        if (courier.decide_ns == 0) courier.decide_ns = now + (memory.far ? kGraceFarNs : kGraceNs);
        if (now < courier.decide_ns) return due_at(courier.decide_ns);
    }
    char detail[kDetailMax];
    snprintf(detail, sizeof detail, "plugin %s failed with %s", connection.shared->plugin, sansock_status_name(courier.carrier.status()));
    set_detail(connection, detail);
    connection.end().step(stream::Reason::kProviderFailed, false);
}

void Couriers::forget_windows(Peer &peer) {
    for (path::Registered &window : peer.windows) {
        window.close([this](sansock_region *region) { process_.runtime()->deregister_memory(region); });
    }
    peer.has_windows.store(false);
}

bool Couriers::release(uint64_t providers) {
    const auto is_one = [&](uint32_t provider) { return (providers >> provider & 1) != 0; };
    for (uint32_t i = 0; i < couriers_high.load(std::memory_order_relaxed); ++i) {
        const Courier &courier = couriers[i];
        const bool has_endpoint = courier.state.load(std::memory_order_acquire) != Courier::kFree && courier.endpoint != nullptr;
        if (has_endpoint && is_one(courier.provider)) return false;
    }
    const auto deregister = [this](sansock_region *region) { process_.runtime()->deregister_memory(region); };
    for (LandingArena &landing : landings_) {
        if (is_one(landing.provider)) landing.registered.close(deregister);
    }
    for (Peer &peer : process_.peers()) {
        if (peer.used.load(std::memory_order_acquire) == 0 || !peer.has_windows.load()) continue;
        for (uint32_t arena = 0; arena < peer.our_arenas.load(); ++arena) {
            if (is_one(peer.arena_provider[arena])) peer.windows[arena].close(deregister);
        }
    }
    return true;
}

void Couriers::sweep() {
    for (uint32_t i = 0; i < couriers_high.load(std::memory_order_relaxed); ++i) {
        Courier &courier = couriers[i];
        const uint8_t state = courier.state.load(std::memory_order_acquire);
        if (state == Courier::kRetired) close(courier);
        if (state != Courier::kIdle) continue;
        stream::Guard guard(courier.connection->fd_lock);
        static_cast<void>(is_idle_of(courier, *courier.connection));
    }
    for (Peer &peer : process_.peers()) {
        if (peer.used.load(std::memory_order_acquire) == 0 || !peer.has_windows.load() || peer.alive.load() || peer.connections.load() != 0)
            continue;
        forget_windows(peer);
        expect_release(process_, peer);
    }
    for (uint64_t lost = process_.runtime() == nullptr ? 0 : process_.runtime()->lost(); lost != 0; lost &= lost - 1) {
        if (release(lost & -lost)) process_.runtime()->close_lost(static_cast<uint32_t>(std::countr_zero(lost)));
    }
    if (watch_ns_ == 0 && watching.load(std::memory_order_relaxed)) {
        watch_ns_ = now_ns() + process_.policy().path_timeout_ns / 4;
        due_at(watch_ns_);
    }
    if (attendance_ns_ == 0 && attending.load(std::memory_order_relaxed)) {
        attendance_ns_ = now_ns() + Attendance::kLookNs;
        due_at(attendance_ns_);
    }
}

void Couriers::timers() {
    const uint64_t now = now_ns();
    if (now < next_due_ns_) return;
    next_due_ns_ = UINT64_MAX;
    const bool watch = watch_ns_ != 0 && now >= watch_ns_;
    if (watch) {
        watching.store(false, std::memory_order_relaxed);
        watch_ns_ = 0;
    }
    const bool looks_for_attendance = attendance_ns_ != 0 && now >= attendance_ns_;
    if (looks_for_attendance) {
        attending.store(false);
        attendance_ns_ = 0;
    }
    for (uint32_t i = 0; i < couriers_high.load(std::memory_order_relaxed); ++i) {
        Courier &courier = couriers[i];
        if (courier.state.load(std::memory_order_acquire) != Courier::kCarrying) continue;
        const bool unattended = looks_for_attendance && courier.attendance.leave_if_unattended();
        if (looks_for_attendance && courier.attendance.attended()) attending.store(true);
        if (!watch && !unattended && !courier.carrier.failed()) continue;
        Connection &connection = *courier.connection;
        stream::Guard guard(connection.fd_lock);
        if (connection.courier.load(std::memory_order_acquire) != &courier || connection.generation != courier.generation) continue;
        if (watch) static_cast<void>(courier.carrier.overdue(now, process_.policy().path_timeout_ns));
        if (watch || unattended) carry_now(connection, true);
        if (courier.carrier.failed()) fail(courier, connection);
    }
    if (watch_ns_ != 0) due_at(watch_ns_);
    if (looks_for_attendance && attending.load()) attendance_ns_ = now + Attendance::kLookNs;
    if (attendance_ns_ != 0) due_at(attendance_ns_);
}

}  // namespace sansock::socket
