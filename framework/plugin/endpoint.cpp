#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "plugin/objects.hpp"

namespace sansock::plugin {
namespace {

/// Takes what the plugin wrote, its descriptors included.
Result<Offer> take(const sansock_offer &written, const std::string &what) {
    Offer offer;
    if (written.byte_count > SANSOCK_OFFER_BYTES_MAX || written.fd_count > SANSOCK_OFFER_FDS_MAX) {
        return fail(EPROTO, what + ": it wrote more bytes or descriptors than fit");
    }
    offer.bytes.assign(written.bytes, written.bytes + written.byte_count);
    for (const int fd : std::span(written.fds, written.fd_count)) {
        if (::fcntl(fd, F_GETFD) < 0) return fail(EPROTO, what + ": it gave a descriptor that is not open");
        offer.fds.emplace_back(fd);
    }
    return offer;
}

Result<sansock_offer> lend(const Offer &offer, const std::string &what) {
    sansock_offer lent{};
    lent.size = sizeof lent;
    if (offer.bytes.size() > SANSOCK_OFFER_BYTES_MAX || offer.fds.size() > SANSOCK_OFFER_FDS_MAX) {
        return fail(EPROTO, what + ": the peer sent more bytes or descriptors than an offer has");
    }
    lent.byte_count = static_cast<std::uint32_t>(offer.bytes.size());
    lent.fd_count = static_cast<std::uint32_t>(offer.fds.size());
    std::ranges::copy(offer.bytes, lent.bytes);
    std::ranges::transform(offer.fds, lent.fds, &OfferFd::get);
    return lent;
}

std::uint64_t length_of(std::span<const sansock_slice> slices) {
    std::uint64_t length = 0;
    for (const sansock_slice &slice : slices) length += slice.length;
    return length;
}

using Post = decltype(sansock_endpoint_ops::post_send);

/// Posts under a token of ours. The slot is given back when nothing was posted.
std::int32_t post(detail::EndpointState &endpoint, Post call, std::uint32_t kind, std::span<const sansock_slice> slices,
                  std::uint64_t user_token) {
    if (endpoint.in_flight.full()) return SANSOCK_EAGAIN;
    const std::uint64_t length = length_of(slices);
    const std::uint64_t token = endpoint.in_flight.add(kind, length, user_token);
    const std::int32_t status = call(endpoint.raw, slices.data(), static_cast<std::uint32_t>(slices.size()), token);
    if (status == SANSOCK_OK) return SANSOCK_OK;
    std::uint64_t unposted = 0;
    (void)endpoint.in_flight.take(token, kind, length, unposted);
    return status < 0 ? status : SANSOCK_EPROTO;
}

}  // namespace

void NamedCloser::operator()(int fd) const { ::close(fd); }

Endpoint::Endpoint(std::unique_ptr<detail::EndpointState> state) : state_(std::move(state)) {}
Endpoint::Endpoint(Endpoint &&) noexcept = default;
Endpoint &Endpoint::operator=(Endpoint &&) noexcept = default;
Endpoint::~Endpoint() = default;

Result<Offer> Endpoint::make_offer() {
    const std::string what = detail::cannot(*state_->queue->provider, "make an offer");
    sansock_error error = empty_error();
    sansock_offer offer{};
    offer.size = sizeof offer;
    const std::int32_t status = state_->raw->ops->make_offer(state_->raw, &offer, &error);
    if (status != SANSOCK_OK) return std::unexpected(plugin_error(status, what, error));
    return take(offer, what);
}

Result<Offer> Endpoint::accept_offer(const Offer &offer) {
    const std::string what = detail::cannot(*state_->queue->provider, "accept the peer's offer");
    const Result<sansock_offer> lent = lend(offer, what);
    if (!lent) return std::unexpected(lent.error());
    sansock_error error = empty_error();
    sansock_answer answer{};
    answer.size = sizeof answer;
    const std::int32_t status = state_->raw->ops->accept_offer(state_->raw, &*lent, &answer, &error);
    if (status != SANSOCK_OK) return std::unexpected(plugin_error(status, what, error));
    return take(answer, what);
}

Result<void> Endpoint::take_answer(const Offer &answer) {
    const std::string what = detail::cannot(*state_->queue->provider, "take the peer's answer");
    const Result<sansock_offer> lent = lend(answer, what);
    if (!lent) return std::unexpected(lent.error());
    sansock_error error = empty_error();
    const std::int32_t status = state_->raw->ops->take_answer(state_->raw, &*lent, &error);
    if (status != SANSOCK_OK) return std::unexpected(plugin_error(status, what, error));
    return {};
}

int Endpoint::state() const {
    const std::int32_t state = state_->raw->ops->state(state_->raw);
    return state >= SANSOCK_ENDPOINT_CREATED && state <= SANSOCK_ENDPOINT_FAILED ? state : SANSOCK_ENDPOINT_FAILED;
}

std::int32_t Endpoint::post_send(std::span<const sansock_slice> slices, std::uint64_t token) {
    return post(*state_, state_->raw->ops->post_send, SANSOCK_COMPLETION_SEND, slices, token);
}

std::int32_t Endpoint::post_receive(std::span<const sansock_slice> slices, std::uint64_t token) {
    return post(*state_, state_->raw->ops->post_receive, SANSOCK_COMPLETION_RECEIVE, slices, token);
}

bool Endpoint::shares_memory() const {
    const sansock_shared_memory_ops *ops = state_->queue->provider->shared_memory;
    return ops != nullptr && ops->usable != nullptr && ops->usable(state_->raw) == 1;
}

sansock_endpoint *Endpoint::get() const { return state_->raw; }

}  // namespace sansock::plugin
