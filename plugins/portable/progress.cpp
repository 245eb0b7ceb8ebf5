// What poll does for one endpoint: connect, send what waits, report what was sent, receive, and end in good order.
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>

#include "endpoint.hpp"
#include "provider.hpp"
#include "queue.hpp"

namespace sansock::portable {

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
    /// Of the oldest receive.
    void receive(std::int32_t status, std::uint64_t length) noexcept {
        ++endpoint_.receives_left_;
        add(SANSOCK_COMPLETION_RECEIVE, endpoint_.receives_.front().token, status, length);
        endpoint_.receives_.pop();
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

std::int32_t Endpoint::post_send(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    if (state_ != SANSOCK_ENDPOINT_ESTABLISHED) return SANSOCK_ENOTCONN;
    std::uint64_t length = 0;
    const sdk::RequestLimits limits{kSliceCountMax, kInlineBytesMax, provider_.settings().message_bytes_max};
    const std::int32_t status = sdk::check_request(slices, slice_count, limits, length);
    if (status != SANSOCK_OK) return status;
    if (sends_left_ == 0) return SANSOCK_EAGAIN;
    --sends_left_;
    sender_.post(slices, slice_count, length, token);
    if (sender_.push()) {
        queue_.notify_at(0);
    } else {
        ++statistics_.sends_delayed;
    }
    return SANSOCK_OK;
}

std::int32_t Endpoint::post_receive(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    if (state_ == SANSOCK_ENDPOINT_FAILED) return SANSOCK_ENOTCONN;
    std::uint64_t length = 0;
    const sdk::RequestLimits limits{kSliceCountMax, 0, UINT64_MAX};
    const std::int32_t status = sdk::check_request(slices, slice_count, limits, length);
    if (status != SANSOCK_OK) return status;
    if (receives_left_ == 0) return SANSOCK_EAGAIN;
    --receives_left_;
    receives_.push().keep(slices, slice_count, length, token);
    // Of a message that was there before its receive nobody tells any more.
    if (state_ == SANSOCK_ENDPOINT_ESTABLISHED && receiver_.has_more()) queue_.notify_at(0);
    return SANSOCK_OK;
}

std::uint32_t Endpoint::poll(sansock_completion *completions, std::uint32_t capacity, bool looks) noexcept {
    Report report(*this, completions, capacity);
    if (state_ == SANSOCK_ENDPOINT_OFFERED || state_ == SANSOCK_ENDPOINT_CONNECTING) connect_further();
    if (owes_established_) {
        owes_established_ = false;
        report.state(SANSOCK_OK);
    }
    if (state_ == SANSOCK_ENDPOINT_ESTABLISHED) {
        if (looks) {
            sender_.look();
            receiver_.look();
        }
        (void)sender_.push();
    }
    report_sent(report);
    if (state_ == SANSOCK_ENDPOINT_ESTABLISHED) receive(report);
    if (owes_failed_) flush(report);
    return report.count();
}

void Endpoint::report_sent(Report &report) noexcept {
    for (; !sender_.sent().empty() && !report.full(); sender_.sent().pop()) {
        report.send(sender_.sent().front(), SANSOCK_OK);
        ++statistics_.messages_sent;
    }
}

void Endpoint::receive(Report &report) noexcept {
    while (!report.full()) {
        switch (receiver_.next(receives_.empty() ? nullptr : &receives_.front())) {
            case Receiver::Result::done:
                ++statistics_.messages_received;
                statistics_.bytes_received += receiver_.length();
                report.receive(SANSOCK_OK, receiver_.length());
                continue;
            case Receiver::Result::nothing:
                if (sender_.is_broken() && !receiver_.has_more()) give_up_in_time();
                return;
            case Receiver::Result::too_long: report.receive(SANSOCK_EMSGSIZE, 0); return fail(SANSOCK_EMSGSIZE);
            case Receiver::Result::lied: return fail(SANSOCK_EPROTO);
            case Receiver::Result::ended: return fail(receiver_.status());
        }
    }
}

/// A peer that has left one direction leaves the other one too, unless it means harm.
void Endpoint::give_up_in_time() noexcept {
    const std::uint64_t now = provider_.now_ns();
    if (now >= due_ns_) return fail(SANSOCK_ECONNRESET);
    if (due_ns_ != UINT64_MAX) return;
    due_ns_ = now + provider_.settings().timeout_ns;
    queue_.notify_at(due_ns_);
}

void Endpoint::flush(Report &report) noexcept {
    report_sent(report);
    auto &waiting = sender_.waiting();
    for (; !waiting.empty() && !report.full(); waiting.pop()) report.send(waiting.front().token, SANSOCK_ECANCELED);
    while (!receives_.empty() && !report.full()) report.receive(SANSOCK_ECANCELED, 0);
    if (report.full()) return;
    owes_failed_ = false;
    report.state(failure_);
}

void Endpoint::happened(unsigned which, std::uint32_t events) noexcept {
    if (state_ != SANSOCK_ENDPOINT_ESTABLISHED) return;  // Until then each poll looks at everything.
    const bool is_end = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    const bool has_come = is_end || (events & EPOLLIN) != 0;
    if (which == kReceives) {
        if (has_come) receiver_.look(is_end);
        return;
    }
    if ((events & EPOLLOUT) != 0) sender_.look();
    if (has_come) look_at_sending();
}

/// The connection that sends has something to read: its end, or a lie.
void Endpoint::look_at_sending() noexcept {
    std::uint8_t byte = 0;
    const long got = sender_.socket().receive(&byte, sizeof byte);
    if (got > 0) return fail(SANSOCK_EPROTO);
    if (got == 0 || errno != EAGAIN) sender_.break_off();
}

void Endpoint::fail(std::int32_t status) noexcept {
    if (state_ == SANSOCK_ENDPOINT_FAILED) return;
    state_ = SANSOCK_ENDPOINT_FAILED;
    failure_ = status;
    owes_failed_ = true;
    due_ns_ = UINT64_MAX;
    end_connections();
    queue_.notify_at(0);
}

std::uint64_t Endpoint::next_due_ns() const noexcept {
    if (owes_established_ || owes_failed_) return 0;
    if (state_ == SANSOCK_ENDPOINT_CONNECTING && dialer_) return dialer_->due_ns();
    if (is_in_lobby_) return std::min(due_ns_, provider_.lobby().next_due_ns());
    // The rest of a broken connection is not waited for while its messages wait for receives.
    return state_ == SANSOCK_ENDPOINT_ESTABLISHED && receiver_.has_more() ? UINT64_MAX : due_ns_;
}

sansock_statistics Endpoint::statistics() const noexcept {
    sansock_statistics now = statistics_;
    now.bytes_sent = sender_.bytes_sent();
    return now;
}

}  // namespace sansock::portable
