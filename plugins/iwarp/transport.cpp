#include "transport.hpp"

#include <rdma/siw-abi.h>

namespace sansock::iwarp {
namespace {

constexpr std::uint32_t kVendorOfSiw = 0x626d74;

}  // namespace

/// Soft-iWARP's kernel side tells its library at which offset to map each queue, and the library takes one of these offsets for a refusal:
/// a process would have 72 connections and never another one. The kernel gives the lowest offsets first, so a first queue that begins
/// before that one and ends behind it keeps it from ever being given.
verbs::DeviceQueue Transport::first_queue(ibv_context &device) const noexcept {
    ibv_device_attr attributes;
    if (ibv_query_device(&device, &attributes) != 0 || attributes.vendor_id != kVendorOfSiw) return nullptr;
    constexpr std::size_t kEntries = SIW_INVAL_UOBJ_KEY / sizeof(siw_cqe) + 1;
    return verbs::DeviceQueue(ibv_create_cq(&device, static_cast<int>(kEntries), nullptr, nullptr, 0));
}

void Transport::limit(sansock_limits &limits) const noexcept {
    limits.unreceived = SANSOCK_UNRECEIVED_FAILS;
    limits.answerer_sends_first = 1;  // The answering end connects.
}

/// When its TCP connection ends in the middle of something, drivers say that something is wrong in general.
std::int32_t Transport::status_of(ibv_wc_status status, bool is_send) const noexcept {
    return status == IBV_WC_GENERAL_ERR || status == IBV_WC_LOC_QP_OP_ERR ? SANSOCK_ECONNRESET
                                                                          : verbs::Transport::status_of(status, is_send);
}

}  // namespace sansock::iwarp
