/* Draft, not frozen: sansock.rdma-write/draft1. Put bytes into the peer's registered memory without its processor. The
 * peer learns of them by a message that follows: iWARP has no write with immediate data. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/endpoint.h"
#include "sansock/sdk/ext/draft/rdma_read.h"

#define SANSOCK_EXT_DRAFT_RDMA_WRITE "sansock.rdma-write/draft1"

typedef struct sansock_rdma_write_ops {
    /* Lets the peer write `slice`, which lies in one region, until `revoke`. 0 and `*key`; or EINVAL, ENOTSUP, EAGAIN.
     * [progress & established] */
    int32_t (*expose)(sansock_endpoint *endpoint, const sansock_slice *slice, sansock_remote_key *key);

    /* Ends the peer's access. On return no write to it is in flight. [progress & established] */
    int32_t (*revoke)(sansock_endpoint *endpoint, const sansock_remote_key *key);

    /* Writes `slices`, borrowed until the completion with this token, to `offset` in what `key` names. Placed at the
     * peer before any message posted later is received there. Errors as post_send. [progress & established] */
    int32_t (*post_write)(sansock_endpoint *endpoint, const sansock_slice *slices, uint32_t slice_count, const sansock_remote_key *key,
                          uint64_t offset, uint64_t token);
} sansock_rdma_write_ops;
