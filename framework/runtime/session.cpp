#include "runtime/session.hpp"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <cstring>

namespace sansock::runtime {
namespace {

using socket::OfferBytes;
using socket::OfferFds;

constexpr uint32_t kDepthUnused = 2;  ///< An endpoint has at least one send and one receive.
constexpr uint32_t kSharers = 64;     ///< Endpoints on one completion queue, where that is deep enough.

Result<void> carry(plugin::Offer &from, OfferBytes &bytes, OfferFds &fds) {
    if (from.bytes.size() > socket::kOfferMax || from.fds.size() > socket::kOfferFdsMax) return fail(EMSGSIZE, "it is too long");
    bytes.size = static_cast<uint32_t>(from.bytes.size());
    std::memcpy(bytes.data, from.bytes.data(), from.bytes.size());
    for (plugin::OfferFd &fd : from.fds) fds.fds[fds.count++] = fd.release();
    return {};
}

/// The descriptors stay the caller's: what the plugin is lent are duplicates.
plugin::Offer carried(const OfferBytes &bytes, const OfferFds &fds) {
    plugin::Offer offer;
    offer.bytes.assign(bytes.bytes().begin(), bytes.bytes().end());
    for (uint32_t i = 0; i < fds.count; ++i) offer.fds.emplace_back(fcntl(fds.fds[i], F_DUPFD_CLOEXEC, 0));
    return offer;
}

int32_t status_of(const Error &error) { return error.code > 0 ? -error.code : SANSOCK_EPROTO; }

}  // namespace

Result<Queues::Queue> Queues::make(plugin::Provider &provider, uint32_t depth) {
    auto queue = provider.create_completion_queue(depth);
    if (!queue) return std::unexpected(queue.error());
    return std::make_shared<plugin::CompletionQueue>(std::move(*queue));
}

Result<Queues::Queue> Queues::take_shared(plugin::Provider &provider) {
    const uint32_t depth = std::min(kSharers * kDepthUnused, provider.limits().completion_depth_max);
    std::erase_if(shared_, [](const auto &queue) { return queue.expired(); });
    for (const auto &known : shared_) {
        Queue queue = known.lock();
        if (static_cast<uint32_t>(queue.use_count()) * kDepthUnused <= depth) return queue;  // this use is counted already
    }
    auto queue = make(provider, depth);
    if (queue) shared_.push_back(*queue);
    return queue;
}

Result<std::unique_ptr<Session>> Session::open(plugin::Provider &provider, Queues &queues, const socket::Choice &choice) {
    const bool messages = choice.carries_messages;
    const uint32_t sends = messages ? choice.messages.sends : 1, receives = messages ? choice.messages.receives : 1;
    auto queue = messages ? Queues::make(provider, sends + receives) : queues.take_shared(provider);
    if (!queue) return std::unexpected(queue.error());
    auto endpoint =
        provider.create_endpoint(**queue, {.send_depth = sends, .receive_depth = receives, .context = 0, .wants_shared_memory = !messages});
    if (!endpoint) return std::unexpected(endpoint.error());
    return std::unique_ptr<Session>(new Session(std::move(*queue), std::move(*endpoint)));
}

Result<void> Session::offer(OfferBytes &bytes, OfferFds &fds) {
    auto offer = endpoint_.make_offer();
    if (!offer) return std::unexpected(offer.error());
    return carry(*offer, bytes, fds);
}

Result<void> Session::accept(const OfferBytes &offer, const OfferFds &fds, OfferBytes &answer, OfferFds &answer_fds) {
    auto answered = endpoint_.accept_offer(carried(offer, fds));
    if (!answered) return std::unexpected(answered.error());
    return carry(*answered, answer, answer_fds);
}

Result<void> Session::take_answer(const OfferBytes &answer, const OfferFds &fds) { return endpoint_.take_answer(carried(answer, fds)); }

int32_t Session::poll(std::span<sansock_completion> completions) noexcept {
    const auto count = queue_->poll(completions);
    return count ? static_cast<int32_t>(*count) : status_of(count.error());
}

int32_t Session::arm(uint32_t what) noexcept {
    const auto armed = queue_->arm(what);
    return armed ? SANSOCK_OK : status_of(armed.error());
}

}  // namespace sansock::runtime
