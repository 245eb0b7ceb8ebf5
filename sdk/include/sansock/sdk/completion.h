/* Where finished requests and changes of state are reported, in batches, in the order in which they happened per
 * endpoint.
 *
 * Sleeping without losing a wake-up takes three steps, always in this order:
 *     1. poll() until it gives 0, or fewer than it was asked for
 *     2. arm()
 *     3. poll() again; only if it gives 0, wait until notification_fd() is readable; else go back to 1
 * What completes between 1 and 2 is found by 3; what completes after 2 makes the descriptor readable. One arm() gives
 * one notification. The descriptor may stay readable until the next arm() or the one after, which makes it quiet; nobody but the
 * provider reads it.
 *
 * Who has nothing to do when a send is done says so with SANSOCK_NOTIFY_ARRIVALS: of two ends that answer each other, each
 * message would otherwise wake its sender as well. A send that fails may then be told of by the receives that are
 * posted, which fail with it. A provider whose sends go on only when it is polled notifies when that is due, and any
 * provider may notify of more than it was asked for. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/version.h"

typedef struct sansock_completion_queue sansock_completion_queue;

#define SANSOCK_COMPLETION_SEND 1
#define SANSOCK_COMPLETION_RECEIVE 2
#define SANSOCK_COMPLETION_STATE 3 /* The endpoint became established (status 0) or failed (status says why). */

#define SANSOCK_NOTIFY_ALL 0      /* Every completion. */
#define SANSOCK_NOTIFY_ARRIVALS 1 /* All but sends that were done: status 0, SANSOCK_COMPLETION_SEND. */

/* Fixed. */
typedef struct sansock_completion {
    uint64_t token;   /* As posted; 0 for SANSOCK_COMPLETION_STATE. */
    uint64_t context; /* As in the endpoint's sansock_endpoint_config. */
    uint64_t length;  /* Bytes received; 0 for other kinds and for failed receives. */
    int32_t status;   /* 0, or why the request failed; ECANCELED when the endpoint failed before it was done. */
    uint32_t kind;    /* SANSOCK_COMPLETION_* */
} sansock_completion;
SANSOCK_STATIC_ASSERT(sizeof(sansock_completion) == 32, "completions are fixed: four to a pair of cache lines");

typedef struct sansock_completion_queue_ops {
    /* Ends the queue and frees it. Its endpoints are closed by then. [control] */
    void (*close)(sansock_completion_queue *queue);

    /* The descriptor to wait on, the same each time. It stays the queue's: the caller neither reads nor closes it.
     * [any] */
    int32_t (*notification_fd)(sansock_completion_queue *queue);

    /* Makes progress on all endpoints of the queue and takes up to `capacity` completions. Each posted token is
     * reported exactly once, and its slices are the caller's again from then on. After a failure the posted requests
     * come first, as ECANCELED, then the change of state.
     * The count, 0 when there is nothing; or EIO when the whole queue is broken: then its endpoints must be closed.
     * [progress] */
    int32_t (*poll)(sansock_completion_queue *queue, sansock_completion *completions, uint32_t capacity);

    /* Asks for one notification at the next completion of those that `what` names, SANSOCK_NOTIFY_*; see above. Of two
     * calls before a completion, the second counts. 0, or EIO when the queue is broken. [progress] */
    int32_t (*arm)(sansock_completion_queue *queue, uint32_t what);
} sansock_completion_queue_ops;

struct sansock_completion_queue {
    const sansock_completion_queue_ops *ops;
};
