// What poll does for one endpoint: push what waits, report what was sent, receive, and end in good order.
#include <sys/socket.h>

#include <algorithm>

#include "endpoint.hpp"
#include "queue.hpp"

namespace sansock::simulated {

using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;

/// The completions of one poll. Counts the request as done when its completion is handed over.
class Endpoint::Report {
public:
    Report(Endpoint &endpoint, sansock_completion *completions, std::uint32_t capacity)
        : endpoint_(endpoint), completions_(completions), capacity_(capacity) {}

    [[nodiscard]] bool full() const noexcept { return count_ == capacity_; }
    [[nodiscard]] std::uint32_t count() const noexcept { return count_; }

    void send(std::uint64_t token, std::int32_t status) noexcept {
        ++endpoint_.sends_left_;
        add(SANSOCK_COMPLETION_SEND, token, status, 0);
    }
    void receive(std::uint64_t token, std::int32_t status, std::uint64_t length) noexcept {
        ++endpoint_.receives_left_;
        add(SANSOCK_COMPLETION_RECEIVE, token, status, length);
    }
    void state(std::int32_t status) noexcept { add(SANSOCK_COMPLETION_STATE, 0, status, 0); }

private:
    void add(std::uint32_t kind, std::uint64_t token, std::int32_t status, std::uint64_t length) noexcept {
        completions_[count_++] = {token, endpoint_.config_.context, length, status, kind};
    }

    Endpoint &endpoint_;
    sansock_completion *completions_;
    std::uint32_t capacity_;
    std::uint32_t count_ = 0;
};

std::uint32_t Endpoint::poll(sansock_completion *completions, std::uint32_t capacity) noexcept {
    Report report(*this, completions, capacity);
    if (owes_established_) {
        owes_established_ = false;
        report.state(SANSOCK_OK);
    }
    if (carrier_ == kCarriesMessages) {
        if (state_ == SANSOCK_ENDPOINT_OFFERED && peer_died_) fail(SANSOCK_ECONNRESET);
        if (state_ == SANSOCK_ENDPOINT_ESTABLISHED) push_waiting();
        report_sent(report);
        if (state_ == SANSOCK_ENDPOINT_ESTABLISHED) receive(report);
    }
    if (owes_failed_) flush(report);
    return report.count();
}

void Endpoint::push_waiting() noexcept {
    while (!waiting_.empty() && !sends_last_ && !peer_is_gone()) {
        RingResult result = push(waiting_.front());
        if (result == RingResult::nothing && !wants_room_) {
            // The peer may take a message before it sees the wish: look once more after it can be seen.
            want_room(true);
            ++statistics_.sends_delayed;
            result = push(waiting_.front());
        }
        if (result == RingResult::peer_lied) return fail(SANSOCK_EPROTO);
        if (result == RingResult::nothing) return;
        waiting_.pop();
    }
    if (wants_room_) want_room(false);
}

void Endpoint::want_room(bool wanted) noexcept {
    wants_room_ = wanted;
    own_.control().wants_room.store(wanted ? 1 : 0, memory_order_seq_cst);
}

/// Puts one message into the memory, as the simulation lets it.
RingResult Endpoint::push(const Request &request) noexcept {
    LinkModel::Fate fate{};
    // The fate is drawn on a copy of the model, so that a message that finds no room draws the same one again.
    std::optional<LinkModel> link = link_;
    if (link) fate = link->send(request.length, now_ns());
    if (!fate.send_fails) {
        const RingResult result = sender_.push(request.slices.data(), request.slice_count, request.length, fate.arrival_ns);
        if (result != RingResult::done) return result;
        wake_peer_if_armed();
    }
    link_ = link;
    sends_last_ = fate.send_fails || fate.endpoint_fails;
    sent_.push() = {request.token, fate.arrival_ns, fate.send_fails ? SANSOCK_EIO : SANSOCK_OK, sends_last_};
    if (!fate.send_fails) {
        ++statistics_.messages_sent;
        statistics_.bytes_sent += request.length;
    }
    queue_.notify_at(fate.arrival_ns);
    return RingResult::done;
}

void Endpoint::report_sent(Report &report) noexcept {
    while (!sent_.empty() && !report.full()) {
        const Sent &sent = sent_.front();
        // Once failed, nothing is held back: what lies in the memory has left this end.
        if (link_ && state_ == SANSOCK_ENDPOINT_ESTABLISHED && sent.due_ns > now_ns()) return;
        report.send(sent.token, sent.status);
        if (sent.is_last) fail(SANSOCK_EIO);
        sent_.pop();
    }
}

void Endpoint::receive(Report &report) noexcept {
    for (;;) {
        // Asked before the ring is read: what a peer publishes before it goes is received before it is gone.
        const bool gone = peer_is_gone();
        RingReceiver::Message message;
        switch (receiver_.peek(message)) {
            case RingResult::peer_lied: return fail(SANSOCK_EPROTO);
            case RingResult::nothing:
                if (gone) fail(SANSOCK_ECONNRESET);
                return;
            case RingResult::done: break;
        }
        if (report.full() || !deliver(message, report)) return;
    }
}

/// False when the message has to wait, or was the endpoint's last.
bool Endpoint::deliver(const RingReceiver::Message &message, Report &report) noexcept {
    if (peer_simulates_) {
        const std::uint64_t now = now_ns();
        if (message.arrival_ns > now + kDelayNsMax) fail(SANSOCK_EPROTO);
        if (message.arrival_ns > now) {
            // It was sent before the queue was armed, so nothing else ends a sleep that begins now.
            queue_.notify_at(message.arrival_ns);
            return false;
        }
    }
    if (receives_.empty()) {
        if (unreceived_fails_) fail(SANSOCK_EOVERFLOW);
        return false;
    }
    const Request &into = receives_.front();
    if (message.length > into.length) {
        report.receive(into.token, SANSOCK_EMSGSIZE, 0);
        receives_.pop();
        fail(SANSOCK_EMSGSIZE);
        return false;
    }
    sdk::scatter(message.bytes, message.length, into.slices.data());
    receiver_.pop();
    report.receive(into.token, SANSOCK_OK, message.length);
    receives_.pop();
    ++statistics_.messages_received;
    statistics_.bytes_received += message.length;
    std::atomic_thread_fence(memory_order_seq_cst);
    if (peer_.control().wants_room.load(memory_order_relaxed) != 0) wake_peer_if_armed();
    return true;
}

void Endpoint::flush(Report &report) noexcept {
    report_sent(report);
    for (; !waiting_.empty() && !report.full(); waiting_.pop()) report.send(waiting_.front().token, SANSOCK_ECANCELED);
    for (; !receives_.empty() && !report.full(); receives_.pop()) {
        report.receive(receives_.front().token, SANSOCK_ECANCELED, 0);
    }
    if (report.full()) return;
    owes_failed_ = false;
    report.state(failure_);
}

void Endpoint::fail(std::int32_t status) noexcept {
    if (state_ == SANSOCK_ENDPOINT_FAILED) return;
    state_ = SANSOCK_ENDPOINT_FAILED;
    failure_ = status;
    owes_failed_ = true;
    queue_.notify_at(0);
    if (carrier_ != kCarriesMessages) return;
    own_.control().closed.store(1, memory_order_release);
    wake_peer();
}

bool Endpoint::peer_is_gone() const noexcept { return peer_died_ || peer_.control().closed.load(memory_order_acquire) != 0; }

std::uint64_t Endpoint::next_due_ns() const noexcept {
    std::uint64_t due_ns = UINT64_MAX;
    if (owes_established_ || owes_failed_) due_ns = 0;
    if (link_ && !sent_.empty()) due_ns = std::min(due_ns, sent_.front().due_ns);
    if (const auto arrival_ns = receiver_.arrival_ns(); peer_simulates_ && arrival_ns && !receives_.empty()) {
        due_ns = std::min(due_ns, *arrival_ns);
    }
    return due_ns;
}

void Endpoint::arm(std::uint64_t generation) noexcept {
    if (carrier_ == kCarriesMessages) own_.control().armed.store(generation, memory_order_seq_cst);
}

void Endpoint::wake_peer_if_armed() noexcept {
    // Pairs with arm(): either the peer's poll after arming sees what was published, or this sees that it has armed.
    std::atomic_thread_fence(memory_order_seq_cst);
    const std::uint64_t armed = peer_.control().armed.load(memory_order_relaxed);
    if (armed == woken_for_) return;
    woken_for_ = armed;
    wake_peer();
}

void Endpoint::wake_peer() noexcept {
    // A full socket means that a wake-up is under way already; any other error, that there is nobody to wake.
    const char byte = 0;
    (void)::send(wake_.get(), &byte, sizeof byte, MSG_DONTWAIT | MSG_NOSIGNAL);
    ++statistics_.notifications_sent;
}

void Endpoint::drain_wake() noexcept {
    // Bounded: a peer that never stops ringing only keeps us awake.
    for (int taken = 0; taken < 16; ++taken) {
        char byte = 0;
        const ssize_t got = ::recv(wake_.get(), &byte, sizeof byte, MSG_DONTWAIT);
        if (got > 0) continue;
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            queue_.unwatch(wake_.get());
            peer_died_ = true;
        }
        return;
    }
}

void Endpoint::peer_died() noexcept {
    queue_.unwatch(peer_process_.get());
    peer_died_ = true;
}

}  // namespace sansock::simulated
