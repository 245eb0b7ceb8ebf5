// Mirrors framework/socket/far.cpp and meeting_far.cpp, and leave_far() in io.cpp.
#include "far.hpp"

#include <poll.h>

#include <utility>

#include "base/point.hpp"
#include "socket.hpp"

namespace sansock::simulation {
namespace {

constexpr uint64_t kLostNs = 1'000'000'000;  // framework/socket/meeting_far.cpp
constexpr uint64_t kRestNsMax = 1'000'000'000;
constexpr uint64_t kLeaveNapNs = 200'000;
constexpr uint32_t kMirrorBuffer = memory::kPage;

}  // namespace

Far::Far(Process &process) : p_(process), world_(process.world) { new_endpoint(); }

bool Far::open() {
    const auto &scenario = world_.scenario;
    const uint32_t receives = scenario.far.receives[p_.side];
    const uint32_t message = scenario.buffer_size + path::kFrameRoom;
    if (mirror.create(kMirrorBuffer, kMirrorBuffer) != 0 || landing.create(message, uint64_t{receives} * message) != 0) return false;
    theirs = memory::PeerArena::of(mirror);
    return carrier.open(landing, receives) && carrier.lend(endpoint(), nullptr);
}

stream::End::Memory Far::memory() const {
    const path::Landing &path = carrier.landing();
    return {&p_.arena, &p_.slot(), &theirs, &theirs.slot(0), &path.view(), &path.slot(), true};
}

void Far::meet() {
    world_.lines[0].ends[p_.side] = &endpoint();
    begin_epoch(p_.state().epoch.load());
}

void Far::begin_epoch(uint32_t epoch) {
    const FarPlan &plan = world_.scenario.far;
    const uint32_t message = world_.scenario.buffer_size + path::kFrameRoom;
    const stream::End::Memory &memory = p_.end->memory();
    carrier.start({memory.arena, memory.mine, memory.peer, nullptr, &p_.state(), true},
                  {.epoch = epoch,
                   .send_depth = plan.sends,
                   .message_bytes = std::min<uint64_t>(plan.message_bytes, message),
                   .peer_receives = plan.receives[1 - p_.side],
                   .waits_for_first = plan.answerer_sends_first && p_.side == 0,
                   .sends_first = plan.answerer_sends_first && p_.side == 1});
    carries_ = true;
    idle_ = asking_ = false;
    return_ns_ = kForever;
    decide_ns_ = 0;
    p_.doorbell.ring();
}

void Far::close_memory() {
    mirror.close();
    landing.close();
}

bool Far::has_channel() const { return world_.channel.is_open(p_.side); }

// --- what is said ---

void Far::tell() {
    stream::Guard guard(words_lock_);
    const Saying saying{Saying::kWords, stream::read_words(p_.slot())};
    SANSOCK_POINT("kernel");
    const auto sent = world_.channel.send(p_.side, saying);
    if (sent == Channel::Sent::kBroken) broke_ = true;
    if (sent != Channel::Sent::kFull) return;
    owes_words_ = true;
    p_.doorbell.ring();
}

void Far::ask(Saying::Kind kind) {
    if (kind == Saying::kTold) tell();
    bool &owed = kind == Saying::kAsk ? owes_ask_ : owes_told_;
    owed = owes_words_ || owes_told_ || owes_ask_ || !say(kind);
}

/// False: there is no room.
bool Far::say(Saying::Kind kind) {
    SANSOCK_POINT("kernel");
    return world_.channel.send(p_.side, {kind}) != Channel::Sent::kFull;
}

void Far::tell_released() { owes_release_ = !say(Saying::kReleased); }

/// In this order: behind an answer nothing is missing.
void Far::pay() {
    if (std::exchange(owes_words_, false)) tell();
    if (!owes_words_ && owes_told_) owes_told_ = !say(Saying::kTold);
    if (!owes_words_ && !owes_told_ && owes_ask_) owes_ask_ = !say(Saying::kAsk);
    if (owes_release_) owes_release_ = !say(Saying::kReleased);
}

namespace {

stream::TcpEnd end_of_tcp(const Process &p) {
    const short events = p.world.tcp.poll(p.side);
    if ((events & POLLHUP) != 0) return (events & POLLERR) != 0 ? stream::kTcpReset : stream::kTcpFin;
    return (events & POLLRDHUP) != 0 ? stream::kTcpFin : stream::kTcpOpen;
}

}  // namespace

void Far::hear(const Saying &saying) {
    stream::Guard guard(p_.fd_lock);
    switch (saying.kind) {
        case Saying::kWords:
            if (!p_.mapped) return;
            stream::lay_down(saying.words, mirror.slot(0));
            world_.cover(p_, Event::kWords);
            p_.doorbell.ring();
            break;
        case Saying::kAsk: ask(Saying::kTold); break;
        case Saying::kTold:
            if (!p_.mapped) return;
            if (p_.end->attention_pending()) p_.end->progress();
            if (const stream::TcpEnd how = end_of_tcp(p_); how != stream::kTcpOpen) p_.end->tcp_ended(how);
            p_.doorbell.ring();
            break;
        case Saying::kReturn: asked_to_return(saying); break;
        case Saying::kReturned: returned(saying); break;
        case Saying::kReleased: p_.arena.end_slot(p_.slot_index, memory::Arena::kPeerEnd); break;
    }
}

void Far::tcp_event(short events) {
    stream::Guard guard(p_.fd_lock);
    if (!p_.mapped) return;
    const bool reset = (events & POLLHUP) != 0 && (events & POLLERR) != 0;
    const bool ended = (events & (POLLHUP | POLLRDHUP)) != 0;
    if (ended && !reset && SANSOCK_MUTATE("END_BEFORE_WORDS", true, false)) {
        ask_before_end();
    } else if (ended) {
        p_.end->tcp_ended(reset ? stream::kTcpReset : stream::kTcpFin);
    }
    if (p_.phase == Phase::kLingering) finish_lingering(p_);
}

void Far::ask_before_end() {
    if (has_channel()) return ask(Saying::kAsk);
    p_.end->tcp_ended(end_of_tcp(p_));
}

/// And nobody here has heard of it.
bool Far::channel_has_ended() const { return lost_ns_ == 0 && (!has_channel() || world_.channel.ended(p_.side) != Channel::End::kOpen); }

void Far::lose_channel() {
    broke_ |= !has_channel() || world_.channel.ended(p_.side) == Channel::End::kBroken;
    world_.scheduler.trace("the channel has ended%s", broke_ ? " in mid-word" : "");
    world_.channel.close(p_.side);
    lost_ns_ = world_.scheduler.now_ns();
    expire();
}

/// Where the peer has died its socket ends at the same moment, or a little later.
void Far::expire() {
    const uint64_t now = world_.scheduler.now_ns();
    const bool over = now >= lost_ns_ + kLostNs;
    lost_due_ns_ = over ? kForever : lost_ns_ + kLostNs;
    stream::Guard guard(p_.fd_lock);
    p_.doorbell.ring();
    if (!p_.mapped) return;
    if (const stream::TcpEnd how = end_of_tcp(p_); how != stream::kTcpOpen) {
        p_.end->tcp_ended(how);
    } else if (over && p_.phase != Phase::kTcpOnly) {
        world_.scheduler.trace("the peer falls silent");
        p_.end->peer_falls_silent(!broke_);
    }
}

/// A connection that has fallen silent: once the peer has told that it has read everything, nothing is kept that our death would cost.
void Far::rest() {
    rest_due_ns_ = kForever;
    stream::Guard guard(p_.fd_lock);
    if (!p_.mapped) return;
    const uint64_t now = world_.scheduler.now_ns();
    const uint64_t out = p_.state().out.out.load(std::memory_order_relaxed);
    if (std::exchange(sent_, out) != out) {
        rest_wait_ns_ = kRestNs;
        silent_due_ns_ = now + kRestNs;
    } else if (p_.end->rest_guard()) {
        return;
    } else if (now >= silent_due_ns_) {
        if (carries_) after(carrier.ask());
        rest_wait_ns_ = std::min(2 * rest_wait_ns_, kRestNsMax);
        silent_due_ns_ = now + rest_wait_ns_;
    }
    rest_due_ns_ = silent_due_ns_;
}

// --- the helper ---

bool Far::has_work() const {
    const Channel &channel = world_.channel;
    const bool can_pay = (owes_words_ || owes_told_ || owes_ask_ || owes_release_) && channel.has_room(p_.side);
    return notified || channel_has_ended() || (has_channel() && (channel.has_arrived(p_.side) || can_pay)) ||
           world_.scheduler.now_ns() >= next_due_ns();
}

void Far::work() {
    const uint64_t now = world_.scheduler.now_ns();
    if (std::exchange(notified, false)) path_notified();
    while (const auto saying = world_.channel.receive(p_.side)) hear(*saying);
    if (channel_has_ended()) lose_channel();
    if (now >= lost_due_ns_) expire();
    if (now >= rest_due_ns_) rest();
    if (now >= std::min(watch_ns_, decide_due_ns_)) watch();
    if (now >= return_ns_) ask_to_return();
    pay();
}

// --- the end of a process ---

/// False: there is something to wait for still.
bool Far::leave_once(bool ends, bool late) {
    if (!p_.mapped || (p_.phase != Phase::kAttached && p_.phase != Phase::kLingering)) return true;
    stream::End &end = *p_.end;
    if (end.peer_is_dead() || end.at_rest_on_tcp()) return true;
    const bool is_open = p_.slot().cold.state.load(std::memory_order_relaxed) == static_cast<uint32_t>(memory::EndState::kOpen);
    if (!is_open && p_.phase == Phase::kAttached) return true;  // said already
    if (ends && p_.phase == Phase::kAttached && end.unconsumed() == 0 && !end.stepping()) {
        if (end.close(false) == stream::End::Close::kReset) {
            world_.tcp.guard(p_.side, true);
        } else {
            end.leave();
        }
        return true;
    }
    if (late) {
        end.fail(stream::Reason::kPeerSilent);
        return true;
    }
    end.step(stream::Reason::kExec, true);
    return end.at_rest_on_tcp();
}

void Far::leave(bool ends) {
    Scheduler &scheduler = world_.scheduler;
    const uint64_t deadline = scheduler.now_ns() + kStepTimeoutNs;
    const auto is_over = [&] {
        const bool late = scheduler.now_ns() > deadline;
        return leave_once(ends, late) && (late || conclude());
    };
    if (SANSOCK_MUTATE("EXIT_FORGETS_KEPT", false, ends)) return;
    while (!is_over()) scheduler.sleep({}, scheduler.now_ns() + kLeaveNapNs);
}

/// As far_conclude().
bool Far::conclude() {
    if (!has_channel() || SANSOCK_MUTATE("LAST_WORDS_LOST", false, true)) return true;
    if (owes_words_ || owes_told_ || owes_ask_ || owes_release_ || !world_.channel.all_has_come_from(p_.side)) return false;
    world_.channel.shutdown_write(p_.side);
    return true;
}

void Far::die() {
    world_.channel.close(p_.side);
    endpoint().paper.vanish();
    world_.scheduler.wake(world_.provider_key());
}

}  // namespace sansock::simulation
