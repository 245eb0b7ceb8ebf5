// What poll does for one endpoint.
#include <array>

#include "endpoint.hpp"
#include "provider.hpp"
#include "queue.hpp"
#include "region.hpp"

namespace sansock::verbs {
namespace {

// Of a work request's id, below the endpoint's number.
constexpr std::uint64_t kIsSend = std::uint64_t{1} << 31;
constexpr std::uint32_t kCountMask = 0x7fffffff;

using Parts = std::array<ibv_sge, kSliceCountMax>;

int gather(const sansock_slice *slices, std::uint32_t slice_count, Parts &parts) noexcept {
    int count = 0;
    for (std::uint32_t at = 0; at < slice_count; ++at) {
        if (slices[at].length == 0) continue;
        const auto &region = *static_cast<const Region *>(slices[at].region);
        parts[static_cast<std::size_t>(count++)] = {reinterpret_cast<std::uintptr_t>(slices[at].address),
                                                    static_cast<std::uint32_t>(slices[at].length), region.memory->lkey};
    }
    return count;
}

}  // namespace

std::int32_t Endpoint::post_send(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    if (state_ != SANSOCK_ENDPOINT_ESTABLISHED) return SANSOCK_ENOTCONN;
    std::uint64_t length = 0;
    const sdk::RequestLimits limits{kSliceCountMax, 0, provider_.settings().message_bytes_max};
    const std::int32_t status = sdk::check_request(slices, slice_count, limits, length);
    if (status != SANSOCK_OK) return status;
    if (sends_.full()) return SANSOCK_EAGAIN;
    Parts parts;
    ibv_send_wr request{};
    request.num_sge = gather(slices, slice_count, parts);
    request.sg_list = request.num_sge > 0 ? parts.data() : nullptr;
    request.opcode = IBV_WR_SEND;
    if (length > 0 && length <= inline_bytes_max_) request.send_flags = IBV_SEND_INLINE;
    const std::uint32_t often = config_.send_depth / 2;
    ++sent_;
    if (!post(request, asked_ == 0 || since_asked_ + 1 >= often)) {
        --sent_;
        fail(SANSOCK_EIO);
        return SANSOCK_ENOTCONN;
    }
    sends_.push() = token;
    statistics_.bytes_sent += length;
    return SANSOCK_OK;
}

bool Endpoint::post(ibv_send_wr &request, bool asks) noexcept {
    request.wr_id = std::uint64_t{number_} << 32 | kIsSend | (sent_ & kCountMask);
    if (asks) request.send_flags |= IBV_SEND_SIGNALED;
    ibv_send_wr *refused = nullptr;
    if (ibv_post_send(line_.pair.get(), &request, &refused) != 0) return false;
    if (asks) ++asked_;
    since_asked_ = asks ? 0 : since_asked_ + 1;
    return true;
}

/// Asks how far the sends have come that did not ask themselves.
void Endpoint::sweep() noexcept {
    ibv_send_wr nothing{};
    nothing.opcode = IBV_WR_RDMA_WRITE;
    if (!post(nothing, true)) fail(SANSOCK_EIO);
}

std::int32_t Endpoint::post_receive(const sansock_slice *slices, std::uint32_t slice_count, std::uint64_t token) noexcept {
    if (state_ == SANSOCK_ENDPOINT_FAILED) return SANSOCK_ENOTCONN;
    std::uint64_t length = 0;
    const sdk::RequestLimits limits{kSliceCountMax, 0, UINT32_MAX};
    const std::int32_t status = sdk::check_request(slices, slice_count, limits, length);
    if (status != SANSOCK_OK) return status == SANSOCK_EMSGSIZE ? SANSOCK_EINVAL : status;
    if (receives_.full()) return SANSOCK_EAGAIN;
    Parts parts;
    ibv_recv_wr request{};
    request.num_sge = gather(slices, slice_count, parts);
    if (request.num_sge == 0 && provider_.transport().wants_parts()) parts[static_cast<std::size_t>(request.num_sge++)] = {0, 0, 0};
    request.sg_list = request.num_sge > 0 ? parts.data() : nullptr;
    request.wr_id = std::uint64_t{number_} << 32;
    ibv_recv_wr *refused = nullptr;
    if (ibv_post_recv(line_.pair.get(), &request, &refused) != 0) {
        fail(SANSOCK_EIO);
        return SANSOCK_ENOTCONN;
    }
    receives_.push() = {token, 0};
    return SANSOCK_OK;
}

void Endpoint::completed(const ibv_wc &done) noexcept {
    if (has_ended_) return;  // All that is not reported by now is reported as not done.
    const bool is_send = (done.wr_id & kIsSend) != 0;
    if (done.status != IBV_WC_SUCCESS) {
        const std::int32_t status = provider_.transport().status_of(done.status, is_send);
        if (!is_send && status == SANSOCK_EMSGSIZE) front_status_ = status;
        // Of the two queues, that in which the rest was flushed may have been read before the one that says why.
        const bool was_flushed = done.status == IBV_WC_WR_FLUSH_ERR;
        if (std::exchange(knows_no_reason_, was_flushed && (knows_no_reason_ || state_ != SANSOCK_ENDPOINT_FAILED)) && !was_flushed)
            failure_ = status;
        return fail(status);
    }
    if (is_send) {
        --asked_;
        arrived_ += (static_cast<std::uint32_t>(done.wr_id) - arrived_) & kCountMask;
        if (asked_ == 0 && arrived_ != sent_ && state_ == SANSOCK_ENDPOINT_ESTABLISHED) sweep();
    } else {
        // The peer has sent before its connection manager's last word has come here.
        if (state_ == SANSOCK_ENDPOINT_CONNECTING) become_established();
        receives_[received_++].length = done.byte_len;
    }
    owe();
}

void Endpoint::report(Report &report) noexcept {
    owes_ = false;
    if (owes_established_ && report.room() > 0) {
        owes_established_ = false;
        report.add({0, config_.context, 0, SANSOCK_OK, SANSOCK_COMPLETION_STATE});
    }
    while (reported_ != arrived_ && report.room() > 0) {
        report_send(report, SANSOCK_OK);
        ++statistics_.messages_sent;
    }
    for (; received_ > 0 && report.room() > 0; --received_) {
        ++statistics_.messages_received;
        statistics_.bytes_received += receives_.front().length;
        report_receive(report, SANSOCK_OK);
    }
    if (owes_failed_ && report.room() > 0) flush(report);
    if (owes_established_ || reported_ != arrived_ || received_ > 0 || owes_failed_) owe();
}

/// The device does nothing any more for what is left.
void Endpoint::flush(Report &report) noexcept {
    while (!sends_.empty() && report.room() > 0) report_send(report, SANSOCK_ECANCELED);
    arrived_ = reported_;
    while (!receives_.empty() && report.room() > 0) report_receive(report, std::exchange(front_status_, SANSOCK_ECANCELED));
    if (report.room() == 0) return;
    owes_failed_ = false;
    report.add({0, config_.context, 0, failure_, SANSOCK_COMPLETION_STATE});
}

void Endpoint::report_send(Report &report, std::int32_t status) noexcept {
    report.add({sends_.front(), config_.context, 0, status, SANSOCK_COMPLETION_SEND});
    sends_.pop();
    ++reported_;
}

void Endpoint::report_receive(Report &report, std::int32_t status) noexcept {
    const Receive &receive = receives_.front();
    report.add({receive.token, config_.context, receive.length, status, SANSOCK_COMPLETION_RECEIVE});
    receives_.pop();
}

void Endpoint::hear() noexcept {
    const std::int32_t failure = line_.failure.load(std::memory_order_acquire);
    if (state_ == SANSOCK_ENDPOINT_CONNECTING && line_.is_established.load(std::memory_order_acquire)) become_established();
    if (failure != 0 && std::exchange(knows_no_reason_, false)) failure_ = failure;
    if (failure != 0) fail(failure);
    if (!has_ended_ && line_.has_ended.load(std::memory_order_acquire)) {
        has_ended_ = owes_failed_ = true;
        owe();
    }
}

void Endpoint::has_taken_all() noexcept {
    if (state_ != SANSOCK_ENDPOINT_FAILED || line_.may_end.load(std::memory_order_relaxed)) return;
    line_.may_end.store(true, std::memory_order_release);
    provider_.connector().ring();
}

void Endpoint::become_established() noexcept {
    state_ = SANSOCK_ENDPOINT_ESTABLISHED;
    owes_established_ = true;
    owe();
}

/// The first reason counts: the others follow from it.
void Endpoint::fail(std::int32_t status) noexcept {
    if (state_ == SANSOCK_ENDPOINT_FAILED) return;
    state_ = SANSOCK_ENDPOINT_FAILED;
    failure_ = status;
    queue_.begins_to_fail();
    queue_.ring();  // Whoever sleeps has to poll once more.
}

void Endpoint::owe() noexcept {
    if (!std::exchange(owes_, true)) queue_.owes(*this);
}

}  // namespace sansock::verbs
