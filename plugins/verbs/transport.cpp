#include "transport.hpp"

#include <sansock/sdk/status.h>

namespace sansock::verbs {

std::int32_t Transport::status_of(ibv_wc_status status, bool) const noexcept {
    switch (status) {
        case IBV_WC_LOC_LEN_ERR:
        case IBV_WC_REM_INV_REQ_ERR: return SANSOCK_EMSGSIZE;
        case IBV_WC_RNR_RETRY_EXC_ERR: return SANSOCK_EOVERFLOW;
        case IBV_WC_RETRY_EXC_ERR:
        case IBV_WC_RESP_TIMEOUT_ERR: return SANSOCK_ETIMEDOUT;
        case IBV_WC_WR_FLUSH_ERR: return SANSOCK_ECONNRESET;  // If there is another reason, it is told before, or comes by the other queue.
        default: return SANSOCK_EIO;
    }
}

}  // namespace sansock::verbs
