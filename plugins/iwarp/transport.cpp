#include "transport.hpp"

namespace sansock::iwarp {

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
