/* A provider: one GUID of the configuration, opened. It registers memory, makes completion queues and endpoints, and
 * says how much it can do. It knows nothing about sockets, byte streams or credits.
 *
 * Order of life: plugin > provider > completion queue > endpoint, and provider > region. The host closes the inner
 * before the outer. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/completion.h"
#include "sansock/sdk/endpoint.h"
#include "sansock/sdk/region.h"
#include "sansock/sdk/status.h"

typedef struct sansock_provider_config {
    uint32_t size;
    uint32_t reserved;
    const char *guid; /* Canonical: 36 characters, lower case, no braces. */
    /* What the operator wrote for the plugin: the keys `options`, `simulation` and `rdma_threshold` of the provider's
     * block, as far as they are there, as one mapping; "" when there is none. sansock writes it as JSON, with each value
     * as many lines below the first as in the operator's file; a test may hand over any YAML. `rdma_threshold` is in
     * bytes and greater than 0: sends larger than that should avoid the copy, by RDMA reads or writes (ext/draft/). A
     * provider that has neither may ignore it. */
    const char *yaml;
    const char *origin; /* Where the block begins, such as "/etc/sansock.yaml:12", for error texts. Never NULL. */
} sansock_provider_config;

/* How far apart the two ends of an endpoint may be. */
#define SANSOCK_REACH_PROCESS 1
#define SANSOCK_REACH_HOST 2
#define SANSOCK_REACH_NETWORK 3

/* What happens to a message that finds no receive posted. */
#define SANSOCK_UNRECEIVED_WAITS 1 /* It waits at the sender or on the way until a receive is posted. */
#define SANSOCK_UNRECEIVED_FAILS 2 /* Both endpoints fail, as on iWARP: credits must be exact. */

/* How much the provider can do; what it can do at all is answered by extensions. Constant while the provider is
 * open. Of those marked with a star this version of sansock only checks that the value is possible, and relies on none:
 * it sends from registered memory alone, only messages that find a receive, and lets no child use its parent's objects. */
typedef struct sansock_limits {
    uint32_t size;
    uint32_t reach;                /* SANSOCK_REACH_*; only a provider that reaches the network is asked about peers on other hosts. */
    uint64_t message_bytes_max;    /* Longest message, at least 4096. */
    uint32_t inline_bytes_max;     /* (*) Most unregistered bytes of a send; 0 when all must be registered. */
    uint32_t slice_count_max;      /* Slices of one request, at least 1. */
    uint32_t send_depth_max;       /* Sends in flight on one endpoint, at least 1. */
    uint32_t receive_depth_max;    /* Receives posted on one endpoint, at least 1. */
    uint32_t completion_depth_max; /* Depth of one completion queue. */
    uint32_t unreceived;           /* (*) SANSOCK_UNRECEIVED_* */
    uint32_t answerer_sends_first; /* 1: the end that accepted the offer must send the first message (iWARP). */
    uint32_t fork_safe;            /* (*) 1: a child of fork may go on with the parent's objects (see threads.h). */
} sansock_limits;

typedef struct sansock_provider_ops {
    /* Ends the provider and frees it. Its regions, endpoints and queues are gone by then. [control] */
    void (*close)(sansock_provider *provider);

    /* Fills `limits` up to the `size` that the caller set. [any] */
    void (*get_limits)(sansock_provider *provider, sansock_limits *limits);

    /* Makes memory usable in slices. `memory` is borrowed for the call; what it names stays the host's, which keeps it
     * mapped until deregister_region. Children of fork have it as before: what a library takes out of them
     * (MADV_DONTFORK) goes back.
     * 0 and `*region`; or EINVAL, ENOMEM (RLIMIT_MEMLOCK among others), EIO; then nothing is registered. [control] */
    int32_t (*register_region)(sansock_provider *provider, const sansock_memory *memory, sansock_region **region, sansock_error *error);

    /* Ends a registration. No request that names the region is in flight: all are completed or their endpoints closed.
     * After return the provider touches the memory no more. [control] */
    void (*deregister_region)(sansock_provider *provider, sansock_region *region);

    /* Makes a queue for at most `depth` outstanding completions.
     * 0 and `*queue`, owned by the caller until its `close`; or EINVAL (depth is 0 or above the limit), ENOMEM, EIO.
     * [control] */
    int32_t (*create_completion_queue)(sansock_provider *provider, uint32_t depth, sansock_completion_queue **queue, sansock_error *error);

    /* Makes an endpoint in state `created`. `config` is borrowed for the call, the queue it names is lent until the
     * endpoint's `close`.
     * 0 and `*endpoint`, owned by the caller until its `close`; or EINVAL (a depth is 0 or above the limit), ENOSPC
     * (the queue's depth does not hold both depths of this endpoint beside those it already has), ENOMEM, EIO,
     * ENODEV (the device is gone: the host closes the provider, once everything else of it is closed).
     * [control] */
    int32_t (*create_endpoint)(sansock_provider *provider, const sansock_endpoint_config *config, sansock_endpoint **endpoint,
                               sansock_error *error);

    /* The table of an extension (ext/), by id; NULL when the provider has none of that id. Valid until `close`.
     * [any] */
    const void *(*get_extension)(sansock_provider *provider, const char *id);
} sansock_provider_ops;

struct sansock_provider {
    const sansock_provider_ops *ops;
};
