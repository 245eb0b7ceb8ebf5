// A provider on paper: two endpoints in one process, whose messages lie in a queue until the receiver polls. It is as strict as
// the strictest device: a message that finds no receive, more requests than the depths, or a slice outside its
// registration is a fault of whoever uses it, and it is remembered.
#pragma once
#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "path/endpoint.hpp"

namespace sansock::path {

class MemoryEndpoint final : public Endpoint {
public:
    MemoryEndpoint(uint32_t send_depth, uint32_t receive_depth) : send_depth_(send_depth), receive_depth_(receive_depth) {}

    /// Or the connection does not come about, for the reason that `status` tells.
    void connect(MemoryEndpoint &peer, int32_t status = SANSOCK_OK) {
        peer_ = &peer;
        if (status != SANSOCK_OK) {
            fail(status);
            return;
        }
        if (status_ != SANSOCK_OK) return;
        completed_.push_back({0, 0, 0, SANSOCK_OK, SANSOCK_COMPLETION_STATE});
    }

    int32_t post_send(std::span<const sansock_slice> slices, uint64_t token) noexcept override {
        if (status_ != SANSOCK_OK) return SANSOCK_ENOTCONN;
        if (sends_.size() == send_depth_) return SANSOCK_EAGAIN;
        ++posted_sends;
        if (refuse_send && posted_sends == *refuse_send) return SANSOCK_EIO;
        sends_.push_back({token, {slices.begin(), slices.end()}});
        return SANSOCK_OK;
    }

    int32_t post_receive(std::span<const sansock_slice> slices, uint64_t token) noexcept override {
        if (status_ != SANSOCK_OK) return SANSOCK_ENOTCONN;
        if (receives_.size() == receive_depth_) {
            fault = "more receives than the depth";
            return SANSOCK_EAGAIN;
        }
        receives_.push_back({token, {slices.begin(), slices.end()}});
        return SANSOCK_OK;
    }

    int32_t poll(std::span<sansock_completion> completions) noexcept override {
        ++polls;
        size_t count = 0;
        for (; count < completions.size() && !completed_.empty(); ++count) {
            completions[count] = completed_.front();
            completed_.pop_front();
        }
        return static_cast<int32_t>(count);
    }

    int32_t arm(uint32_t what) noexcept override {
        armed = what;
        return SANSOCK_OK;
    }

    /// Carries the oldest message over, if there is one. Its bytes are read here and not before: whoever posted it must have kept
    /// them.
    bool deliver() {
        if (status_ != SANSOCK_OK || sends_.empty()) return false;
        const Request send = take_first(sends_);
        ++delivered;
        if (fail_at && delivered == *fail_at && !fail_after_delivery) {
            completed_.push_back({send.token, 0, 0, SANSOCK_EIO, SANSOCK_COMPLETION_SEND});
            break_with(SANSOCK_EIO);
            return true;
        }
        if (peer_->status_ == SANSOCK_OK) peer_->receive(bytes_of(send));
        (late_acknowledgements ? late_ : completed_).push_back({send.token, 0, 0, SANSOCK_OK, SANSOCK_COMPLETION_SEND});
        if (fail_at && delivered == *fail_at) break_with(SANSOCK_EIO);
        return true;
    }

    /// The same in two steps, where a send is done once its bytes are out of its memory, and may be lost still: the oldest leaves it, ...
    bool take() {
        if (status_ != SANSOCK_OK || sends_.empty()) return false;
        const Request send = take_first(sends_);
        wire_.push_back(bytes_of(send));
        completed_.push_back({send.token, 0, 0, SANSOCK_OK, SANSOCK_COMPLETION_SEND});
        return true;
    }
    /// ... and the oldest on its way arrives.
    bool arrive() {
        if (status_ != SANSOCK_OK || wire_.empty()) return false;
        const Message message = take_first(wire_);
        if (peer_->status_ == SANSOCK_OK) peer_->receive(message);
        return true;
    }

    /// What was held back completes.
    void acknowledge() {
        completed_.insert(completed_.end(), late_.begin(), late_.end());
        late_.clear();
    }

    /// Both ends learn of it at once.
    void break_with(int32_t status) {
        if (fail(status) && peer_ != nullptr) peer_->break_with(SANSOCK_ECONNRESET);
    }
    /// This end alone. What is on its way from here is lost. False: it had failed before.
    bool fail(int32_t status) {
        if (status_ != SANSOCK_OK) return false;
        status_ = status;
        for (const Request &send : sends_) completed_.push_back({send.token, 0, 0, SANSOCK_ECANCELED, SANSOCK_COMPLETION_SEND});
        for (const Request &into : receives_) completed_.push_back({into.token, 0, 0, SANSOCK_ECANCELED, SANSOCK_COMPLETION_RECEIVE});
        sends_.clear();
        receives_.clear();
        wire_.clear();
        completed_.push_back({0, 0, 0, status, SANSOCK_COMPLETION_STATE});
        return true;
    }

    /// Nothing of it is left; the peer learns that.
    void close() {
        break_with(SANSOCK_ECANCELED);
        vanish();
    }
    /// The same, and the peer has yet to learn it.
    void vanish() {
        fail(SANSOCK_ECANCELED);
        status_ = kClosed;
        completed_.clear();
    }

    /// What was done to it that no correct user does; empty: nothing.
    std::string fault;
    std::optional<uint64_t> fail_at;      ///< The number of the message with which it fails.
    bool fail_after_delivery = false;     ///< That message arrives all the same.
    bool late_acknowledgements = false;   ///< Sends complete when acknowledge() is called, however long they have arrived.
    std::optional<uint64_t> refuse_send;  ///< The number of the post_send that fails.
    uint64_t delivered = 0, posted_sends = 0, polls = 0;

    [[nodiscard]] bool is_idle() const { return sends_.empty() && completed_.empty(); }
    [[nodiscard]] bool is_broken() const { return status_ != SANSOCK_OK; }
    /// Something of which whoever armed it last wants to hear.
    [[nodiscard]] bool has_news() const {
        return armed && std::ranges::any_of(completed_, [this](const sansock_completion &one) {
                   return *armed == SANSOCK_NOTIFY_ALL || one.kind != SANSOCK_COMPLETION_SEND || one.status != SANSOCK_OK;
               });
    }
    std::optional<uint32_t> armed;  ///< SANSOCK_NOTIFY_*, until somebody is notified.

private:
    static constexpr int32_t kClosed = SANSOCK_ENOTCONN;
    struct Request {
        uint64_t token;
        std::vector<sansock_slice> slices;
    };

    using Message = std::vector<uint8_t>;

    template <class Thing>
    static Thing take_first(std::deque<Thing> &things) {
        Thing first = std::move(things.front());
        things.pop_front();
        return first;
    }

    static Message bytes_of(const Request &send) {
        Message message;
        for (const sansock_slice &slice : send.slices) {
            const auto *bytes = static_cast<const uint8_t *>(slice.address);
            message.insert(message.end(), bytes, bytes + slice.length);
        }
        return message;
    }

    void receive(const Message &message) {
        if (receives_.empty()) {
            fault = "a message found no receive";
            return break_with(SANSOCK_EOVERFLOW);
        }
        const Request into = take_first(receives_);
        if (message.size() > into.slices[0].length) {
            fault = "a message was longer than its receive";
            return break_with(SANSOCK_EMSGSIZE);
        }
        std::copy(message.begin(), message.end(), static_cast<uint8_t *>(into.slices[0].address));
        completed_.push_back({into.token, 0, message.size(), SANSOCK_OK, SANSOCK_COMPLETION_RECEIVE});
    }

    const uint32_t send_depth_, receive_depth_;
    MemoryEndpoint *peer_ = nullptr;
    int32_t status_ = SANSOCK_OK;
    std::deque<Request> sends_, receives_;
    std::deque<Message> wire_;
    std::deque<sansock_completion> completed_, late_;
};

}  // namespace sansock::path
