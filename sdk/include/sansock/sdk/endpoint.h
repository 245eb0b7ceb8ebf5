/* One end of a message path. Connecting is offer and answer, and the provider never talks to the peer for it: the host
 * carries both over a channel that it has already authenticated.
 *
 *     this end                                   the peer
 *     create_endpoint                            create_endpoint
 *     make_offer  ------------ offer ----------> accept_offer
 *     take_answer <----------- answer ---------- (the answer is made by accept_offer)
 *     established                                established
 *
 * `established` is reported by a completion of kind STATE at each end, at once or later, when the provider has work of
 * its own to do first. Messages keep their limits and their order. A send that completed with SANSOCK_OK is out of
 * this process's hands: the peer is told of all such messages, as far as it posts receives, before it is told that
 * this end closed or died. A send that failed may have arrived all the same. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/completion.h"
#include "sansock/sdk/region.h"
#include "sansock/sdk/status.h"
#include "sansock/sdk/version.h"

typedef struct sansock_provider sansock_provider;
typedef struct sansock_endpoint sansock_endpoint;

typedef struct sansock_endpoint_config {
    uint32_t size;
    uint32_t send_depth;             /* Sends in flight at most. */
    uint32_t receive_depth;          /* Receives posted at most. */
    uint32_t wants_shared_memory;    /* 1: with ext/shared_memory.h usable, nothing will ever be posted here. */
    sansock_completion_queue *queue; /* Of the same provider. */
    uint64_t context;                /* Comes back in every completion of this endpoint. */
} sansock_endpoint_config;

#define SANSOCK_ENDPOINT_CREATED 1
#define SANSOCK_ENDPOINT_OFFERED 2
#define SANSOCK_ENDPOINT_CONNECTING 3
#define SANSOCK_ENDPOINT_ESTABLISHED 4
#define SANSOCK_ENDPOINT_FAILED 5

#define SANSOCK_OFFER_BYTES_MAX 512
#define SANSOCK_OFFER_FDS_MAX 4

/* An offer or an answer: bytes that only the provider understands, and descriptors where both ends share a host. The
 * writer sets `size`, so that bytes beyond it are not read. What comes from the peer may be anything at all. */
typedef struct sansock_offer {
    uint32_t size;
    uint32_t byte_count;
    uint32_t fd_count;
    int32_t fds[SANSOCK_OFFER_FDS_MAX];
    uint8_t bytes[SANSOCK_OFFER_BYTES_MAX];
} sansock_offer;
typedef sansock_offer sansock_answer;

typedef struct sansock_endpoint_ops {
    /* Ends the endpoint in any state and frees it. Requests in flight and completions not yet polled are dropped; on
     * return the provider touches their slices no more. The peer's endpoint fails with ECONNRESET. [control] */
    void (*close)(sansock_endpoint *endpoint);

    /* Writes the offer. Its descriptors are taken by the caller, who closes them.
     * 0, then `offered`; or EINVAL, ENOMEM, EIO: still `created`, and nothing is in `offer`. [control & created] */
    int32_t (*make_offer)(sansock_endpoint *endpoint, sansock_offer *offer, sansock_error *error);

    /* Takes the peer's offer and writes the answer. `offer` and its descriptors are borrowed for the call: dup to keep
     * one. The answer's descriptors are taken by the caller.
     * 0, then `connecting` or `established`; or EINVAL, EPROTO (not an offer of this provider, or a lie), EPERM,
     * ENOTSUP (the two ends' configurations do not fit), ENOMEM, EIO: then `failed`. [control & created] */
    int32_t (*accept_offer)(sansock_endpoint *endpoint, const sansock_offer *offer, sansock_answer *answer, sansock_error *error);

    /* Takes the peer's answer. `answer` and its descriptors are borrowed for the call.
     * 0, then `connecting` or `established`; or as accept_offer: then `failed`. [control & offered] */
    int32_t (*take_answer)(sansock_endpoint *endpoint, const sansock_answer *answer, sansock_error *error);

    /* SANSOCK_ENDPOINT_* as of the last call. [progress] */
    int32_t (*state)(sansock_endpoint *endpoint);

    /* Sends the slices' bytes, in their order, as one message, which may be empty. `slices` itself is borrowed for the
     * call; bytes in regions are borrowed until the completion with this token is polled; bytes of unregistered
     * slices, at most `inline_bytes_max` in sum, are copied before return.
     * 0; or, and then nothing was posted: EAGAIN (`send_depth` in flight), EMSGSIZE (longer than `message_bytes_max`),
     * EINVAL (too many slices, a slice outside its region, unregistered beyond the inline limit), ENOTCONN (not
     * established). [progress & established] */
    int32_t (*post_send)(sansock_endpoint *endpoint, const sansock_slice *slices, uint32_t slice_count, uint64_t token);

    /* Lends registered memory for the next message: receives are filled in the order in which they were posted.
     * `slices` itself is borrowed for the call, the memory until the completion with this token is polled. A message
     * longer than the memory fails both endpoints: this receive with EMSGSIZE, the rest with ECANCELED.
     * 0; or, and then nothing was posted: EAGAIN (`receive_depth` posted), EINVAL, ENOTCONN (failed).
     * [progress & created | offered | connecting | established] */
    int32_t (*post_receive)(sansock_endpoint *endpoint, const sansock_slice *slices, uint32_t slice_count, uint64_t token);
} sansock_endpoint_ops;

struct sansock_endpoint {
    const sansock_endpoint_ops *ops;
};
