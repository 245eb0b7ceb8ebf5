// How an endpoint comes to know its peer. Everything in an offer or an answer is the peer's word and is checked.
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <sansock/sdk/cpp/offer.hpp>

#include "endpoint.hpp"
#include "provider.hpp"
#include "queue.hpp"

namespace sansock::simulated {
namespace {

using sdk::Failure;
using sdk::UniqueFd;

int socket_option(int fd, int option) {
    int value = -1;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

void check_wake_socket(int fd) {
    if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_SEQPACKET) {
        throw Failure(SANSOCK_EPROTO, "the peer's wake socket is no Unix packet socket");
    }
}

void check_process(int fd) {
    // Signal 0 sends nothing; the kernel answers EBADF for anything but a process descriptor. EPERM: another user's.
    if (::syscall(SYS_pidfd_send_signal, fd, 0, nullptr, 0) != 0 && errno != EPERM && errno != ESRCH) {
        throw Failure(SANSOCK_EPROTO, "the peer's process descriptor is none");
    }
}

std::uint32_t fds_of(const Card &card) {
    if (card.carrier == kHostsMemory) return 0;
    return card.kind == kOfferKind ? 3 : 2;
}

}  // namespace

Endpoint::Endpoint(Provider &provider, const sansock_endpoint_config &config)
    : provider_(provider),
      queue_(*static_cast<Queue *>(config.queue)),
      config_(config),
      unreceived_fails_(provider.limits().unreceived == SANSOCK_UNRECEIVED_FAILS),
      waiting_(config.send_depth),
      sent_(config.send_depth),
      receives_(config.receive_depth),
      sends_left_(config.send_depth),
      receives_left_(config.receive_depth) {
    statistics_.size = sizeof statistics_;
    if (const auto &simulation = provider.settings().simulation) link_.emplace(*simulation, provider.next_number());
    queue_.attach(*this, config.send_depth + config.receive_depth);
}

Endpoint::~Endpoint() {
    if (carrier_ == kCarriesMessages && state_ != SANSOCK_ENDPOINT_FAILED) {
        own_.control().closed.store(1, std::memory_order_release);
        wake_peer();
    }
    queue_.unwatch(wake_.get());
    queue_.unwatch(peer_process_.get());
    queue_.detach(*this, config_.send_depth + config_.receive_depth);
}

void Endpoint::require_state(std::int32_t state) const {
    if (state_ != state) throw Failure(SANSOCK_EINVAL, "the call does not fit the endpoint's state");
}

Card Endpoint::card(std::uint32_t kind) const {
    return {kCardMagic, kind, carrier_, link_ ? 1U : 0U, provider_.settings().message_bytes_max, nonce_};
}

Card Endpoint::read_card(const sansock_offer &offer, std::uint32_t kind) const {
    const auto card = sdk::read_offer<Card>(offer, offer.fd_count);  // The card says how many there should be.
    if (!card || card->magic != kCardMagic || card->kind != kind) {
        throw Failure(SANSOCK_EPROTO, "the peer's message is not one of the simulated provider");
    }
    const std::uint64_t bytes_max = card->message_bytes_max;
    if ((card->carrier != kCarriesMessages && card->carrier != kHostsMemory) || card->simulates > 1 || bytes_max < kMessageBytesMin ||
        bytes_max > kMessageBytesMax || offer.fd_count != fds_of(*card)) {
        throw Failure(SANSOCK_EPROTO, "the peer's message holds what no correct peer says");
    }
    return *card;
}

void Endpoint::make_offer(sansock_offer &offer) {
    require_state(SANSOCK_ENDPOINT_CREATED);
    if (::getrandom(&nonce_, sizeof nonce_, GRND_NONBLOCK) != sizeof nonce_) throw Failure::from_errno("getrandom");
    if (config_.wants_shared_memory == 1 && !link_) {
        carrier_ = kHostsMemory;
        sdk::write_offer(offer, card(kOfferKind));
    } else {
        std::array<int, 2> pair;
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0) {
            throw Failure::from_errno("socketpair");
        }
        UniqueFd peers_wake(pair[1]);
        wake_ = UniqueFd::checked(pair[0], "the wake socket");
        own_ = OwnMemory(provider_.settings().message_bytes_max);
        UniqueFd process = provider_.own_process();
        watch_wake();
        carrier_ = kCarriesMessages;
        sdk::write_offer(offer, card(kOfferKind), {&own_.fd(), &peers_wake, &process});
    }
    state_ = SANSOCK_ENDPOINT_OFFERED;
}

void Endpoint::accept_offer(const sansock_offer &offer, sansock_answer &answer) {
    require_state(SANSOCK_ENDPOINT_CREATED);
    // Nothing of ours is told to the peer before everything of the peer's has been found good.
    try {
        const Card peer = read_card(offer, kOfferKind);
        nonce_ = peer.nonce;
        if (peer.carrier == kHostsMemory) {
            if (link_ || config_.wants_shared_memory != 1) {
                throw Failure(SANSOCK_ENOTSUP, "the peer offers shared memory and this end is to carry messages");
            }
            carrier_ = kHostsMemory;
            peer_simulates_ = peer.simulates == 1;
            sdk::write_offer(answer, card(kAnswerKind));
        } else {
            check_wake_socket(offer.fds[1]);
            wake_ = UniqueFd::duplicate(offer.fds[1], "the peer's wake socket");
            own_ = OwnMemory(provider_.settings().message_bytes_max);
            UniqueFd process = provider_.own_process();
            watch_wake();
            open_path(peer, offer.fds[0], offer.fds[2]);
            sdk::write_offer(answer, card(kAnswerKind), {&own_.fd(), &process});
        }
    } catch (...) {
        fail(SANSOCK_EPROTO);
        throw;
    }
    become_established();
}

void Endpoint::take_answer(const sansock_answer &answer) {
    require_state(SANSOCK_ENDPOINT_OFFERED);
    try {
        const Card peer = read_card(answer, kAnswerKind);
        if (peer.nonce != nonce_ || peer.carrier != carrier_) {
            throw Failure(SANSOCK_EPROTO, "the answer does not belong to this offer");
        }
        if (carrier_ == kCarriesMessages) {
            open_path(peer, answer.fds[0], answer.fds[1]);
        } else {
            peer_simulates_ = peer.simulates == 1;
        }
    } catch (...) {
        fail(SANSOCK_EPROTO);
        throw;
    }
    become_established();
}

/// Maps the peer's memory and begins to watch its process.
void Endpoint::open_path(const Card &peer, int memory_fd, int process_fd) {
    check_process(process_fd);
    peer_ = PeerMemory(memory_fd, peer.message_bytes_max);
    peer_process_ = UniqueFd::duplicate(process_fd, "the peer's process descriptor");
    queue_.watch(*this, Queue::Watched::process, peer_process_.get());
    carrier_ = kCarriesMessages;
    peer_simulates_ = peer.simulates == 1;
    sender_.open(own_, peer_, provider_.settings().message_bytes_max);
    receiver_.open(own_, peer_, peer.message_bytes_max);
}

void Endpoint::watch_wake() { queue_.watch(*this, Queue::Watched::wake, wake_.get()); }

void Endpoint::become_established() {
    state_ = SANSOCK_ENDPOINT_ESTABLISHED;
    owes_established_ = true;
    if (queue_.is_armed()) arm(queue_.generation());
    queue_.notify_at(0);
}

}  // namespace sansock::simulated
