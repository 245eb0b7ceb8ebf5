// The smallest complete provider: both ends of a connection live in this process, and a message is copied from the
// sender's slices into the receiver's. Copy this folder, change the name and the GUID, and replace what moves the
// bytes.
//
// An offer is the number under which the offering endpoint waits in the provider's list. Endpoints that have found each
// other hold a pointer to their peer. A send waits in its own endpoint until the peer has a receive for it. One lock
// per provider guards everything, since the two ends may belong to different queues and so to different threads; it is
// held for a copy and never across a wait.
#include <sys/eventfd.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <sansock/sdk/cpp/offer.hpp>
#include <sansock/sdk/cpp/plugin.hpp>
#include <sansock/sdk/cpp/request.hpp>
#include <sansock/sdk/cpp/ring.hpp>
#include <vector>

namespace {

using sansock::sdk::Failure;
using sansock::sdk::Ring;
using sansock::sdk::UniqueFd;
using Lock = std::lock_guard<std::mutex>;

constexpr std::uint32_t kDepthMax = 256;
constexpr std::uint32_t kQueueDepthMax = 1 << 16;
constexpr std::uint32_t kSliceCountMax = 8;
constexpr std::uint32_t kInlineBytesMax = 64;
constexpr std::uint64_t kMessageBytesMax = 1 << 20;

/// The offer and the answer: the endpoint's number.
struct Card {
    std::uint64_t magic;
    std::uint64_t number;
};
constexpr std::uint64_t kCardMagic = 0x6b636162706f6f6c;  // Tells a card of ours from anything else.

class LoopbackEndpoint;

/// What the endpoints of a provider share.
struct Shared {
    std::mutex mutex;
    std::uint64_t last_number = 0;
    std::map<std::uint64_t, LoopbackEndpoint *> endpoints;
};

class LoopbackQueue : public sansock::sdk::CompletionQueue<LoopbackQueue> {
public:
    LoopbackQueue(Shared &shared, std::uint32_t depth)
        : shared_(shared), room_(depth), event_(UniqueFd::checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")) {}

    int notification_fd() const noexcept { return event_.get(); }
    std::int32_t poll(sansock_completion *completions, std::uint32_t capacity) noexcept;
    std::int32_t arm(std::uint32_t what) noexcept;

    // For endpoints, with the lock held.
    void attach(LoopbackEndpoint &endpoint, std::uint32_t depth) {
        if (depth > room_) throw Failure(SANSOCK_ENOSPC, "the completion queue is too small for one more endpoint");
        endpoints_.push_back(&endpoint);
        room_ -= depth;
    }
    void detach(LoopbackEndpoint &endpoint, std::uint32_t depth) {
        endpoints_.erase(std::find(endpoints_.begin(), endpoints_.end(), &endpoint));
        room_ += depth;
    }
    void notify() noexcept {
        if (!std::exchange(armed_, false)) return;
        (void)::eventfd_write(event_.get(), 1);
    }

private:
    Shared &shared_;
    std::vector<LoopbackEndpoint *> endpoints_;
    std::uint32_t room_;
    UniqueFd event_;
    bool armed_ = false;
};

using Request = sansock::sdk::Request<kSliceCountMax, kInlineBytesMax>;

class LoopbackEndpoint : public sansock::sdk::Endpoint<LoopbackEndpoint> {
public:
    LoopbackEndpoint(Shared &shared, const sansock_endpoint_config &config)
        : shared_(shared),
          queue_(*static_cast<LoopbackQueue *>(config.queue)),
          context_(config.context),
          depth_(config.send_depth + config.receive_depth),
          sends_(config.send_depth),
          receives_(config.receive_depth),
          done_(depth_ + 2),  // Two for the changes of state.
          sends_left_(config.send_depth),
          receives_left_(config.receive_depth) {
        const Lock lock(shared_.mutex);
        queue_.attach(*this, depth_);
        number_ = ++shared_.last_number;
        shared_.endpoints.emplace(number_, this);
    }

    ~LoopbackEndpoint() {
        const Lock lock(shared_.mutex);
        leave_peer(SANSOCK_ECONNRESET);
        shared_.endpoints.erase(number_);
        queue_.detach(*this, depth_);
    }

    void make_offer(sansock_offer &offer) {
        const Lock lock(shared_.mutex);
        require(SANSOCK_ENDPOINT_CREATED);
        sansock::sdk::write_offer(offer, Card{kCardMagic, number_});
        state_ = SANSOCK_ENDPOINT_OFFERED;
    }

    void accept_offer(const sansock_offer &offer, sansock_answer &answer) {
        const Lock lock(shared_.mutex);
        require(SANSOCK_ENDPOINT_CREATED);
        const auto card = read_card(offer);
        const auto found = shared_.endpoints.find(card);
        if (found == shared_.endpoints.end() || found->second->state_ != SANSOCK_ENDPOINT_OFFERED || found->second->peer_ != nullptr) {
            refuse("the offer names no endpoint of this process that waits for an answer");
        }
        peer_ = found->second;
        peer_->peer_ = this;
        sansock::sdk::write_offer(answer, Card{kCardMagic, number_});
        become_established();
    }

    void take_answer(const sansock_answer &answer) {
        const Lock lock(shared_.mutex);
        require(SANSOCK_ENDPOINT_OFFERED);
        if (const auto card = read_card(answer); peer_ == nullptr || peer_->number_ != card) {
            refuse("the answer is not from the endpoint that accepted the offer");
        }
        become_established();
        move_messages(*peer_, *this);
    }

    std::int32_t state() const noexcept {
        const Lock lock(shared_.mutex);
        return state_;
    }

    std::int32_t post_send(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
        const Lock lock(shared_.mutex);
        if (state_ != SANSOCK_ENDPOINT_ESTABLISHED) return SANSOCK_ENOTCONN;
        const sansock::sdk::RequestLimits limits{kSliceCountMax, kInlineBytesMax, kMessageBytesMax};
        const std::int32_t status = post(sends_, sends_left_, limits, slices, slice_count, token);
        if (status == SANSOCK_OK) move_messages(*this, *peer_);
        return status;
    }

    std::int32_t post_receive(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
        const Lock lock(shared_.mutex);
        if (state_ == SANSOCK_ENDPOINT_FAILED) return SANSOCK_ENOTCONN;
        const sansock::sdk::RequestLimits limits{kSliceCountMax, 0, UINT64_MAX};
        const std::int32_t status = post(receives_, receives_left_, limits, slices, slice_count, token);
        if (status == SANSOCK_OK && state_ == SANSOCK_ENDPOINT_ESTABLISHED) move_messages(*peer_, *this);
        return status;
    }

    /// The next completion for the queue's poll. Called with the lock held.
    bool take_completion(sansock_completion &completion) noexcept {
        if (done_.empty()) return false;
        completion = done_.front();
        done_.pop();
        if (completion.kind == SANSOCK_COMPLETION_SEND) ++sends_left_;
        if (completion.kind == SANSOCK_COMPLETION_RECEIVE) ++receives_left_;
        return true;
    }

private:
    void require(std::int32_t state) const {
        if (state_ != state) throw Failure(SANSOCK_EINVAL, "the call does not fit the endpoint's state");
    }

    [[noreturn]] void refuse(const char *why) {
        fail(SANSOCK_EPROTO);
        leave_peer(SANSOCK_EPROTO);
        throw Failure(SANSOCK_EPROTO, why);
    }

    std::uint64_t read_card(const sansock_offer &offer) {
        const auto card = sansock::sdk::read_offer<Card>(offer, 0);
        if (!card || card->magic != kCardMagic) refuse("this is no offer of the loopback provider");
        return card->number;
    }

    void become_established() {
        state_ = SANSOCK_ENDPOINT_ESTABLISHED;
        complete(SANSOCK_COMPLETION_STATE, 0, SANSOCK_OK);
    }

    static std::int32_t post(Ring<Request> &ring, std::uint32_t &left, const sansock::sdk::RequestLimits &limits,
                             const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
        std::uint64_t length = 0;
        const std::int32_t status = sansock::sdk::check_request(slices, slice_count, limits, length);
        if (status != SANSOCK_OK) return status;
        if (left == 0) return SANSOCK_EAGAIN;
        --left;
        ring.push().keep(slices, slice_count, length, token);
        return SANSOCK_OK;
    }

    void complete(std::uint32_t kind, std::uint64_t token, std::int32_t status, std::uint64_t length = 0) noexcept {
        done_.push() = {token, context_, length, status, kind};
        queue_.notify();
    }

    /// Copies what waits at `from` into the receives that `to` has posted.
    static void move_messages(LoopbackEndpoint &from, LoopbackEndpoint &to) noexcept {
        if (from.state_ != SANSOCK_ENDPOINT_ESTABLISHED || to.state_ != SANSOCK_ENDPOINT_ESTABLISHED) return;
        while (!from.sends_.empty() && !to.receives_.empty()) {
            const Request &send = from.sends_.front();
            const Request &receive = to.receives_.front();
            if (send.length > receive.length) {
                to.complete(SANSOCK_COMPLETION_RECEIVE, receive.token, SANSOCK_EMSGSIZE);
                to.receives_.pop();
                to.fail(SANSOCK_EMSGSIZE);
                return to.leave_peer(SANSOCK_ECONNRESET);
            }
            sansock::sdk::copy_slices(send.slices.data(), send.slice_count, receive.slices.data());
            from.complete(SANSOCK_COMPLETION_SEND, send.token, SANSOCK_OK);
            to.complete(SANSOCK_COMPLETION_RECEIVE, receive.token, SANSOCK_OK, send.length);
            from.sends_.pop();
            to.receives_.pop();
        }
    }

    void fail(std::int32_t status) noexcept {
        if (state_ == SANSOCK_ENDPOINT_FAILED) return;
        state_ = SANSOCK_ENDPOINT_FAILED;
        for (; !sends_.empty(); sends_.pop()) {
            complete(SANSOCK_COMPLETION_SEND, sends_.front().token, SANSOCK_ECANCELED);
        }
        for (; !receives_.empty(); receives_.pop()) {
            complete(SANSOCK_COMPLETION_RECEIVE, receives_.front().token, SANSOCK_ECANCELED);
        }
        complete(SANSOCK_COMPLETION_STATE, 0, status);
    }

    void leave_peer(std::int32_t status) noexcept {
        LoopbackEndpoint *peer = std::exchange(peer_, nullptr);
        if (peer == nullptr) return;
        peer->peer_ = nullptr;
        peer->fail(status);
    }

    Shared &shared_;
    LoopbackQueue &queue_;
    const std::uint64_t context_;
    const std::uint32_t depth_;
    std::uint64_t number_ = 0;
    std::int32_t state_ = SANSOCK_ENDPOINT_CREATED;
    LoopbackEndpoint *peer_ = nullptr;
    Ring<Request> sends_;
    Ring<Request> receives_;
    Ring<sansock_completion> done_;
    std::uint32_t sends_left_;  ///< A request counts until its completion has been polled.
    std::uint32_t receives_left_;
};

std::int32_t LoopbackQueue::poll(sansock_completion *completions, std::uint32_t capacity) noexcept {
    const Lock lock(shared_.mutex);
    std::uint32_t count = 0;
    for (LoopbackEndpoint *endpoint : endpoints_) {
        while (count < capacity && endpoint->take_completion(completions[count])) ++count;
    }
    // The next poll begins with another endpoint, so that a busy one does not starve the rest.
    if (endpoints_.size() > 1) std::rotate(endpoints_.begin(), endpoints_.begin() + 1, endpoints_.end());
    return static_cast<std::int32_t>(count);
}

// Each completion notifies, also where fewer were asked for.
std::int32_t LoopbackQueue::arm(std::uint32_t) noexcept {
    const Lock lock(shared_.mutex);
    eventfd_t drained = 0;
    (void)::eventfd_read(event_.get(), &drained);
    armed_ = true;
    return SANSOCK_OK;
}

class LoopbackProvider : public sansock::sdk::Provider<LoopbackProvider> {
public:
    static std::unique_ptr<LoopbackProvider> open(const sansock_host &, const sansock_provider_config &config) {
        // Whoever writes an option expects it to work: refuse what is not known.
        if (*config.yaml != '\0') {
            throw Failure(SANSOCK_EINVAL, std::string(config.origin) + ": the loopback provider has no settings");
        }
        return std::make_unique<LoopbackProvider>();
    }

    sansock_limits limits() const noexcept {
        sansock_limits limits{};
        limits.size = sizeof limits;
        limits.reach = SANSOCK_REACH_PROCESS;
        limits.message_bytes_max = kMessageBytesMax;
        limits.inline_bytes_max = kInlineBytesMax;
        limits.slice_count_max = kSliceCountMax;
        limits.send_depth_max = kDepthMax;
        limits.receive_depth_max = kDepthMax;
        limits.completion_depth_max = kQueueDepthMax;
        limits.unreceived = SANSOCK_UNRECEIVED_WAITS;
        return limits;
    }

    std::unique_ptr<sansock_region> register_region(const sansock_memory &memory) { return sansock::sdk::make_region(memory); }
    void deregister_region(sansock_region *region) noexcept { delete region; }

    std::unique_ptr<LoopbackQueue> create_completion_queue(std::uint32_t depth) {
        if (depth == 0 || depth > kQueueDepthMax) throw Failure(SANSOCK_EINVAL, "the queue's depth is out of range");
        return std::make_unique<LoopbackQueue>(shared_, depth);
    }

    std::unique_ptr<LoopbackEndpoint> create_endpoint(const sansock_endpoint_config &config) {
        if (config.send_depth - 1 >= kDepthMax || config.receive_depth - 1 >= kDepthMax) {
            throw Failure(SANSOCK_EINVAL, "the endpoint's depth is out of range");
        }
        return std::make_unique<LoopbackEndpoint>(shared_, config);
    }

    const void *extension(std::string_view) const noexcept { return nullptr; }

private:
    Shared shared_;
};

}  // namespace

SANSOCK_PLUGIN("loopback", SANSOCK_PLUGIN_VERSION, LoopbackProvider)
