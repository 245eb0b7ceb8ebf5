// How the two ends get their connections. Everything in an offer or an answer is the peer's word and is checked.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>

#include <algorithm>

#include "endpoint.hpp"
#include "provider.hpp"
#include "queue.hpp"

namespace sansock::portable {

using sdk::Failure;

Endpoint::Endpoint(Provider &provider, const sansock_endpoint_config &config)
    : provider_(provider),
      queue_(*static_cast<Queue *>(config.queue)),
      config_(config),
      sender_(config.send_depth),
      receives_(config.receive_depth),
      sends_left_(config.send_depth),
      receives_left_(config.receive_depth) {
    statistics_.size = sizeof statistics_;
    queue_.attach(*this, config.send_depth + config.receive_depth);
}

Endpoint::~Endpoint() {
    end_connections();
    dialer_.reset();
    queue_.unwatch(sender_.socket().get());
    queue_.unwatch(receiver_.socket().get());
    queue_.detach(*this, config_.send_depth + config_.receive_depth);
}

void Endpoint::require_state(std::int32_t state) const {
    if (state_ != state) throw Failure(SANSOCK_EINVAL, "the call does not fit the endpoint's state");
}

Card Endpoint::card() const {
    return {.message_bytes_max = provider_.settings().message_bytes_max,
            .token = expected_.token,
            .answers = peers_,
            .port = 0,
            .addresses = {}};
}

void Endpoint::make_offer(sansock_offer &offer) {
    require_state(SANSOCK_ENDPOINT_CREATED);
    expected_.token = new_token();
    expected_.queue = &queue_;
    Card ours = card();
    provider_.lobby().expect(expected_, ours);
    queue_.enter(provider_.lobby().fd());
    is_in_lobby_ = true;
    offered_ = ours.addresses.size();
    write_card(ours, true, offer);
    state_ = SANSOCK_ENDPOINT_OFFERED;
}

void Endpoint::accept_offer(const sansock_offer &offer, sansock_answer &answer) {
    require_state(SANSOCK_ENDPOINT_CREATED);
    try {
        const Card peer = read_card(offer, true);
        peer_bytes_max_ = peer.message_bytes_max;
        peers_ = peer.token;
        expected_.token = new_token();
        dialer_.emplace(*this, queue_, provider_.settings(), peer, expected_.token, provider_.now_ns());
        write_card(card(), false, answer);
    } catch (...) {
        fail(SANSOCK_EPROTO);
        throw;
    }
    begin_to_connect();
}

void Endpoint::take_answer(const sansock_answer &answer) {
    require_state(SANSOCK_ENDPOINT_OFFERED);
    try {
        const Card peer = read_card(answer, false);
        if (!same(peer.answers, expected_.token)) throw Failure(SANSOCK_EPROTO, "the answer does not belong to this offer");
        peer_bytes_max_ = peer.message_bytes_max;
        peers_ = peer.token;
    } catch (...) {
        fail(SANSOCK_EPROTO);
        throw;
    }
    // As long as the peer may try one address after the other, and some more.
    const Settings &settings = provider_.settings();
    due_ns_ = provider_.now_ns() + offered_ * settings.connect_timeout_ns + settings.timeout_ns;
    begin_to_connect();
}

void Endpoint::begin_to_connect() {
    state_ = SANSOCK_ENDPOINT_CONNECTING;
    connect_further();
    if (state_ == SANSOCK_ENDPOINT_FAILED) {
        throw Failure(failure_ == SANSOCK_ENOMEM || failure_ == SANSOCK_EPERM ? failure_ : SANSOCK_EIO,
                      std::string("no connection to the peer: ") + sansock_status_name(failure_));
    }
}

void Endpoint::connect_further() noexcept {
    if (dialer_) {
        switch (dialer_->step(provider_.now_ns())) {
            case Dialer::Result::waits: return queue_.notify_at(dialer_->due_ns());
            case Dialer::Result::failed: return fail(dialer_->status());
            case Dialer::Result::connected: {
                Socket sending = dialer_->take(kFromAnswerer);
                return become_established(std::move(sending), dialer_->take(kFromOfferer));
            }
        }
    }
    provider_.lobby().serve();
    const bool has_answer = state_ == SANSOCK_ENDPOINT_CONNECTING;
    if (has_answer && expected_.count.load(std::memory_order_acquire) == kWays) return greet_back();
    if (has_answer && provider_.now_ns() >= due_ns_) return fail(SANSOCK_ETIMEDOUT);
    queue_.notify_at(next_due_ns());  // Somebody may have come in just now, to be shown out in time.
}

/// Both connections have come in, and the answer.
void Endpoint::greet_back() noexcept {
    leave_lobby();
    for (unsigned way = 0; way < kWays; ++way) {
        const Greeting ours = greeting(peers_, way);
        // There is room for the first bytes of a connection. If it has ended already, that is found where it is read from.
        (void)expected_.arrived[way].send(&ours, sizeof ours);
    }
    Socket &sending = expected_.arrived[kFromOfferer];
    Socket &receiving = expected_.arrived[kFromAnswerer];
    if (!queue_.watch(*this, kSends, sending.get()) || !queue_.watch(*this, kReceives, receiving.get())) return fail(SANSOCK_ENOMEM);
    become_established(std::move(sending), std::move(receiving));
}

void Endpoint::become_established(Socket sending, Socket receiving) noexcept {
    const auto silent_ms = static_cast<int>(provider_.settings().timeout_ns / 1'000'000);
    const int probe_s = std::max(1, silent_ms / 4'000);
    for (const Socket *socket : {&sending, &receiving}) {
        socket->set(IPPROTO_TCP, TCP_NODELAY, 1);
        socket->set(IPPROTO_TCP, TCP_KEEPIDLE, probe_s);
        socket->set(IPPROTO_TCP, TCP_KEEPINTVL, probe_s);
        socket->set(IPPROTO_TCP, TCP_KEEPCNT, 3);
        socket->set(SOL_SOCKET, SO_KEEPALIVE, 1);
    }
    // Only where nothing is sent: elsewhere it would also end connections whose peer is well, and posts no receives for so long.
    receiving.set(IPPROTO_TCP, TCP_USER_TIMEOUT, silent_ms);
    sender_.open(std::move(sending));
    receiver_.open(std::move(receiving), peer_bytes_max_);
    due_ns_ = UINT64_MAX;
    state_ = SANSOCK_ENDPOINT_ESTABLISHED;
    owes_established_ = true;
    look_at_sending();
    queue_.notify_at(0);
}

/// For the peer and for the kernel they are over, whoever else has the sockets: a child of fork may. What the kernel has taken it still
/// sends.
void Endpoint::end_connections() noexcept {
    leave_lobby();
    sender_.socket().shut(true);
    receiver_.socket().shut();
    for (const Socket &socket : expected_.arrived) socket.shut();
}

void Endpoint::leave_lobby() noexcept {
    if (!is_in_lobby_) return;
    is_in_lobby_ = false;
    provider_.lobby().forget(expected_);
    queue_.leave(provider_.lobby().fd());
}

}  // namespace sansock::portable
