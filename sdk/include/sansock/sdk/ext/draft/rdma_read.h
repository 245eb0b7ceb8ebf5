/* Draft, not frozen: sansock.rdma-read/draft1. Fetch bytes from the peer's registered memory without its processor, so
 * that a large send costs no copy: the sender announces where the bytes lie, the receiver reads them. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/endpoint.h"

#define SANSOCK_EXT_DRAFT_RDMA_READ "sansock.rdma-read/draft1"

/* Names memory of one end to the other. Travels in messages; meaningful only to the provider that made it. Fixed. */
typedef struct sansock_remote_key {
    uint8_t bytes[32];
} sansock_remote_key;

typedef struct sansock_rdma_read_ops {
    /* Lets the peer read `slice`, which lies in one region, until `revoke`. 0 and `*key`; or EINVAL, ENOTSUP, EAGAIN.
     * [progress & established] */
    int32_t (*expose)(sansock_endpoint *endpoint, const sansock_slice *slice, sansock_remote_key *key);

    /* Ends the peer's access. On return no read of it is in flight. [progress & established] */
    int32_t (*revoke)(sansock_endpoint *endpoint, const sansock_remote_key *key);

    /* Reads the peer's bytes from `offset` in what `key` names into `slices`, lent until the completion with this
     * token, which is of kind SEND and counts against `send_depth`. Errors as post_send. [progress & established] */
    int32_t (*post_read)(sansock_endpoint *endpoint, const sansock_slice *slices, uint32_t slice_count, const sansock_remote_key *key,
                         uint64_t offset, uint64_t token);
} sansock_rdma_read_ops;
