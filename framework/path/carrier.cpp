#include "path/carrier.hpp"

#include "base/cpu.hpp"
#include "base/point.hpp"
#include "stream/end.hpp"

namespace sansock::path {
namespace {

constexpr size_t kBatch = 16;
constexpr uint32_t kLook = 1, kArm = 2;
/// Told without being asked once the peer may miss a quarter of its window.
constexpr uint64_t kWindowShare = 4;

}  // namespace

bool Carrier::open(memory::Arena &landing, uint32_t receives) {
    return receives >= Credits::kReceivesMin && receives <= kReceivesMax && landing_.open(landing, receives);
}

bool Carrier::lend(Endpoint &endpoint, const Registered *registered) {
    const stream::Guard guard(lock_);  // somebody may still hold what this object was before
    endpoint_ = &endpoint;
    landing_.begin(registered);
    status_.store(SANSOCK_OK, std::memory_order_relaxed);
    established_.store(false, std::memory_order_relaxed);
    asked_.store(false, std::memory_order_relaxed);
    started_ = told_failed_ = flushed_ = reading_own_ = landing_open_ = lacks_sends_ = false;
    armed_.reset();
    first_in_flight_ = completed_to_ = peer_consumed_ = peer_window_ = told_consumed_ = told_window_ = 0;
    in_flight_ = 0;
    std::destroy_at(&cursor_);
    std::construct_at(&cursor_);
    stopped_.store(false, std::memory_order_relaxed);
    for (uint32_t i = 0; i < landing_.receives(); ++i) {
        if (landing_.lend(endpoint, i) != SANSOCK_OK) return false;
    }
    return true;
}

void Carrier::start(const Ends &ends, const Terms &terms) {
    const stream::Guard guard(lock_);
    ends_ = ends;
    terms_ = terms;
    credits_.open(landing_.receives(), terms.peer_receives);
    epoch_.store(terms.epoch, std::memory_order_release);  // behind established_, which another epoch has left
    own_arena_ = memory::PeerArena::of(*ends.arena);
    started_ = true;
}

Moved Carrier::move(bool arm) {
    Moved moved;
    again_.fetch_or(arm ? kLook | kArm : kLook, std::memory_order_release);
    while (again_.load(std::memory_order_acquire) != 0 && lock_.try_lock()) {
        const Moved more = round((again_.exchange(0, std::memory_order_acquire) & kArm) != 0);
        lock_.unlock();
        full_fence();  // whoever found the lock held has left word before this, or finds it free
        moved.arrived |= more.arrived;
        moved.room |= more.room;
        moved.failed |= more.failed;
        moved.waits = more.waits;
        moved.left = more.left;
    }
    return moved;
}

Moved Carrier::ask() {
    asked_.store(true, std::memory_order_release);
    return move(true);
}

void Carrier::stop() {
    stopped_.store(true, std::memory_order_release);
    if (lock_.held_by_me()) return;  // a signal handler closes what its thread was moving: that goes no further
    const stream::Guard guard(lock_);
}

/// Whether an end has switched its sending direction to this path, and not frozen the other.
bool Carrier::on_path(const memory::Slot &slot) const { return is_of_epoch(slot.cold.switched.load(std::memory_order_acquire)); }

/// Once either end has named the byte to repeat from, nothing that moves here counts any more.
bool Carrier::is_ending() const {
    return is_of_epoch(ends_.mine->cold.frozen.load(std::memory_order_relaxed)) ||
           is_of_epoch(ends_.peer->cold.frozen.load(std::memory_order_acquire));
}

Moved Carrier::round(bool arm) {
    Moved moved;
    if (!started_ || stopped_.load(std::memory_order_acquire)) return moved;
    if (notified_.exchange(false, std::memory_order_acquire)) armed_.reset();
    const bool ending = is_ending();
    if (ending || failed()) stopped_.store(true, std::memory_order_release);
    while (!stopped_.load(std::memory_order_acquire)) {
        const bool is_dry = poll(moved);
        if (!flushed_) lend_again();
        if (!flushed_) send();
        if (failed()) break;
        if (!is_dry) continue;
        if (!arm || armed_ == SANSOCK_NOTIFY_ALL || armed_ == wanted()) break;
        armed_ = wanted();
        if (const int32_t status = endpoint_->arm(*armed_); status != SANSOCK_OK) fail(status);
        // What completed before that is found by one more poll.
    }
    moved.waits = !ending && waits();
    moved.left = lacks_sends_ || credits_.owes_answer() ||
                 (reading_own_ && ends_.mine->hot.tail.load(std::memory_order_relaxed) > cursor_.in.load(std::memory_order_relaxed));
    if (failed() && !ending && !told_failed_) moved.failed = told_failed_ = true;
    return moved;
}

/// What somebody must be told of. That a send is done matters to nobody but who waits for its place, or for its bytes'.
uint32_t Carrier::wanted() const {
    const bool keeps_room = completed_to_ < peer_consumed_;
    return lacks_sends_ || keeps_room ? SANSOCK_NOTIFY_ALL : SANSOCK_NOTIFY_ARRIVALS;
}

/// One batch of completions. True when there were no more.
bool Carrier::poll(Moved &moved) {
    sansock_completion completions[kBatch];
    const int32_t count = endpoint_->poll(completions);
    if (count < 0) fail(count);
    if (count <= 0) return true;
    armed_.reset();
    progress_ns_ = now_ns();
    for (int32_t i = 0; i < count && !failed(); ++i) complete(completions[i], moved);
    show_consumed(moved);
    return static_cast<size_t>(count) < kBatch;
}

void Carrier::complete(const sansock_completion &completion, Moved &moved) {
    if (completion.status == SANSOCK_ECANCELED) {
        flushed_ = true;  // the endpoint has failed; its change of state comes behind the requests and says why
        return;
    }
    if (completion.status != SANSOCK_OK) return fail(completion.status);
    switch (completion.kind) {
        case SANSOCK_COMPLETION_SEND: return sent(completion.token);
        case SANSOCK_COMPLETION_RECEIVE: return received(completion, moved);
        default: established_.store(true, std::memory_order_release);
    }
}

void Carrier::sent(uint64_t token) {
    if (token - first_in_flight_ >= in_flight_) return fail(SANSOCK_EPROTO);
    sent_[token % kSendsMax].done = true;
    while (in_flight_ > 0 && sent_[first_in_flight_ % kSendsMax].done) {
        completed_to_ = sent_[first_in_flight_ % kSendsMax].end;
        ++first_in_flight_;
        --in_flight_;
    }
}

void Carrier::received(const sansock_completion &completion, Moved &moved) {
    const auto number = static_cast<uint32_t>(completion.token);
    Frame frame;
    if (number >= landing_.receives() || !landing_.frame_of(number, completion.length, frame)) return fail(SANSOCK_EPROTO);
    const bool is_data = frame.kind == FrameKind::kData;
    const bool is_credit = frame.kind == FrameKind::kCredit;
    const bool sound = (is_data || is_credit || frame.kind == FrameKind::kUpdate) && is_of_epoch(frame.epoch) &&
                       frame.size == completion.length - sizeof frame && is_data == (frame.size > 0) &&
                       (!reading_own_ || frame.consumed <= cursor_.in.load(std::memory_order_relaxed)) &&
                       credits_.take(frame.posted, frame.received, is_credit);
    if (!sound) return cannot_be();
    peer_window_ = frame.window;
    // As long as this end sends by TCP, what the peer says of it may be ahead of what we have counted.
    if (reading_own_ && frame.consumed > peer_consumed_) peer_consumed_ = frame.consumed;
    if (!is_data) {
        if (const int32_t status = landing_.lend(*endpoint_, number); status != SANSOCK_OK) return fail(status);
        return credits_.reposted(false);
    }
    if (!landing_open_) {
        // Of another host the word that it has switched may come behind the first bytes; then it is they that say where.
        if (!on_path(*ends_.peer) && SANSOCK_MUTATE("BYTES_BEFORE_WORD", !ends_.far, true)) return cannot_be();
        told_consumed_ = on_path(*ends_.peer) ? ends_.peer->cold.switched_at.load(std::memory_order_relaxed) : frame.offset;
        Landing::open_at(landing_.slot(), told_consumed_);
        landing_open_ = true;
    }
    if (frame.offset != landing_.tail()) return cannot_be();
    SANSOCK_POINT("M1.arrived");
    landing_.publish(number, frame.size);
    moved.arrived = true;
}

/// A message that no honest peer sends, unless the epoch is over: its application may have read what TCP has repeated, and a thread that
/// has not seen that yet says so here.
void Carrier::cannot_be() {
    if (!is_ending()) return fail(SANSOCK_EPROTO);
    stopped_.store(true, std::memory_order_release);
}

/// The provider gets back what the application has read.
void Carrier::lend_again() {
    const uint64_t consumed = ends_.mine->hot.consumed.load(std::memory_order_acquire);
    for (uint32_t number; !failed() && (number = landing_.take_read(consumed)) != kReceivesMax;) {
        if (const int32_t status = landing_.lend(*endpoint_, number); status != SANSOCK_OK) return fail(status);
        SANSOCK_POINT("M3.reposted");
        credits_.reposted(true);
    }
}

/// Bytes that the peer has consumed may be overwritten, unless the provider still reads them.
void Carrier::show_consumed(Moved &moved) {
    auto &shown = landing_.slot().hot.consumed;
    const uint64_t consumed = std::min(peer_consumed_, completed_to_);
    if (consumed <= shown.load(std::memory_order_relaxed)) return;
    SANSOCK_POINT("M4.completed");
    shown.store(consumed, std::memory_order_release);
    moved.room = true;
}

void Carrier::send() {
    lacks_sends_ = false;
    if (failed() || !established() || (terms_.waits_for_first && credits_.received() == 0)) return;
    if (!reading_own_ && on_path(*ends_.mine)) {
        const uint64_t at = ends_.mine->cold.switched_at.load(std::memory_order_relaxed);
        cursor_.in.store(at, std::memory_order_relaxed);
        cursor_.tail = completed_to_ = at;
        reading_own_ = true;
    }
    while (reading_own_ && credits_.may_send_data()) {
        stream::WindowReader window(cursor_, own_arena_, *ends_.mine, UINT64_MAX);
        stream::Run run;
        const auto answer = window.peek(cursor_.in.load(std::memory_order_relaxed), run);
        if (answer == stream::WindowReader::Answer::kLie) return fail(SANSOCK_EIO);
        if (answer == stream::WindowReader::Answer::kEmpty) break;
        run.size = std::min<size_t>(run.size, terms_.message_bytes - sizeof(Frame));
        if (!post(FrameKind::kData, run)) return;
    }
    const bool asks = asked_.load(std::memory_order_acquire);
    const bool tells = asks || worth_a_message();
    const bool asks_nothing = tells && !asks && credits_.may_send_update();
    if (asks_nothing || (tells && credits_.may_send_credit())) {
        SANSOCK_POINT("M2.worth-telling");
        if (!post(asks_nothing ? FrameKind::kUpdate : FrameKind::kCredit, {})) return;
        if (asks) asked_.store(false, std::memory_order_relaxed);
        terms_.sends_first = false;
    }
    if (credits_.owes_answer()) post(FrameKind::kUpdate, {});
}

/// Whether the peer is to be told something for which no data is on its way.
bool Carrier::worth_a_message() const {
    if (terms_.sends_first || credits_.worth_telling() || misses_room()) return true;
    const uint64_t untold = ends_.mine->hot.consumed.load(std::memory_order_relaxed) - told_consumed_;
    if (untold == 0 || !landing_open_) return false;
    // An end that sends no more waits for the last byte to be read.
    const memory::ColdWords &peer = ends_.peer->cold;
    const bool peer_is_done = peer.fin.load(std::memory_order_acquire) != 0 || peer.state.load(std::memory_order_relaxed) != 0;
    const bool is_much = untold >= terms_.message_bytes / 2 && credits_.soon_worth_telling();
    return peer_is_done || is_much || untold >= peer_window_ / kWindowShare;
}

/// What this end may keep, as the peer shall know it. Where the arena has no buffer left that is less than the window, and who then waits
/// for room may wait for the last byte that he keeps: so the peer tells whatever it has read.
uint32_t Carrier::window() const { return ends_.arena->has_buffers() ? static_cast<uint32_t>(ends_.state->out.window) : 0; }

/// Somebody waits for room, and the peer does not know that it has to tell everything.
bool Carrier::misses_room() const {
    return told_window_ != 0 && ends_.mine->hot.want_room.load(std::memory_order_relaxed) != 0 && window() == 0;
}

/// Posts one message. False: not now, or never again.
bool Carrier::post(FrameKind kind, const stream::Run &run) {
    lacks_sends_ = in_flight_ == terms_.send_depth;
    if (lacks_sends_) return false;
    const uint64_t number = first_in_flight_ + in_flight_;
    const uint64_t offset = cursor_.in.load(std::memory_order_relaxed);
    const uint64_t consumed = ends_.mine->hot.consumed.load(std::memory_order_acquire);
    sansock_slice slices[2] = {{const_cast<uint8_t *>(run.data), run.size, region_of(ends_.window, run.data)},
                               landing_.frame_place(static_cast<uint32_t>(number % kSendsMax))};
    const Frame frame{kind,    terms_.epoch, offset, consumed, credits_.posted(), credits_.received(), static_cast<uint32_t>(run.size),
                      window()};
    __builtin_memcpy(slices[1].address, &frame, sizeof frame);
    const std::span<const sansock_slice> message(slices);
    const int32_t status = endpoint_->post_send(kind == FrameKind::kData ? message : message.last(1), number);
    lacks_sends_ = status == SANSOCK_EAGAIN;
    if (lacks_sends_) return false;
    if (status != SANSOCK_OK) {
        fail(status);
        return false;
    }
    if (!waits()) progress_ns_ = now_ns();
    sent_[number % kSendsMax] = {offset + run.size, false};
    ++in_flight_;
    cursor_.in.store(offset + run.size, std::memory_order_relaxed);
    SANSOCK_POINT("M1.posted");
    told_consumed_ = consumed;
    told_window_ = frame.window;
    credits_.sent(kind == FrameKind::kCredit);
    return true;
}

void Carrier::fail(int32_t status) {
    if (failed()) return;
    status_.store(status, std::memory_order_relaxed);
}

bool Carrier::overdue(uint64_t now_ns, uint64_t limit_ns) {
    if (!lock_.try_lock()) return false;
    const bool waiting = started_ && !stopped_.load(std::memory_order_relaxed) && !failed() && waits();
    const uint64_t silent_ns = waiting && now_ns > progress_ns_ ? now_ns - progress_ns_ : 0;
    if (silent_ns >= limit_ns) fail(SANSOCK_ETIMEDOUT);
    lock_.unlock();
    if (silent_ns < limit_ns && silent_ns >= limit_ns / 2) asked_.store(true, std::memory_order_release);
    return silent_ns >= limit_ns / 2;
}

}  // namespace sansock::path
