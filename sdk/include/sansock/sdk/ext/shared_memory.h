/* sansock.shared-memory/1: the host's own memory is the path.
 *
 * A provider whose two ends share a host has nothing to add to memory that both ends already map. It says so here, and
 * the host then moves bytes through its own arenas and makes no call into the plugin per message. The host sees the
 * peer's death by itself; the endpoint is only closed when it is no longer needed. An endpoint made with
 * `wants_shared_memory` need not be able to carry messages. If the peer's provider cannot agree, accept_offer or
 * take_answer answers ENOTSUP. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/endpoint.h"

#define SANSOCK_EXT_SHARED_MEMORY "sansock.shared-memory/1"

typedef struct sansock_shared_memory_ops {
    /* 1 when a region that one end registered, and whose memfd the other end maps, is directly readable there, and the
     * host may use it as the path of this endpoint. 0 when messages must be posted. Does not change while the endpoint
     * is established. [progress & established] */
    int32_t (*usable)(sansock_endpoint *endpoint);
} sansock_shared_memory_ops;
