/* Draft, not frozen: sansock.shared-receive-queue/draft1. One stock of posted receives for many endpoints, so that a
 * thousand idle connections do not hold a thousand times `receive_buffers`. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/endpoint.h"
#include "sansock/sdk/status.h"

#define SANSOCK_EXT_DRAFT_SHARED_RECEIVE_QUEUE "sansock.shared-receive-queue/draft1"

typedef struct sansock_shared_receive_queue sansock_shared_receive_queue;

typedef struct sansock_shared_receive_queue_ops {
    /* Makes a stock of at most `depth` receives. 0 and `*stock`; or EINVAL, ENOMEM, ENOTSUP. [control] */
    int32_t (*create)(sansock_provider *provider, uint32_t depth, sansock_shared_receive_queue **stock, sansock_error *error);

    /* Frees the stock. No endpoint draws on it any more. [control] */
    void (*close)(sansock_shared_receive_queue *stock);

    /* From now on the endpoint draws on the stock; its own post_receive answers EINVAL.
     * 0; or, and then nothing has changed: EINVAL (the stock is of another provider, the endpoint draws on one already,
     * or receives are posted on it), ENOMEM, ENOTSUP. [control & created] */
    int32_t (*attach)(sansock_endpoint *endpoint, sansock_shared_receive_queue *stock);

    /* As post_receive; the completion carries the context of the endpoint that the message came by. [progress] */
    int32_t (*post_receive)(sansock_shared_receive_queue *stock, const sansock_slice *slices, uint32_t slice_count, uint64_t token);
} sansock_shared_receive_queue_ops;
