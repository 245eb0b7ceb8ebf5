/* What the host lends a plugin. A plugin that uses these, rather than libc's own, leaves its traces where the operator
 * looks for them, and can be run under a test's clock. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define SANSOCK_LOG_ERROR 0
#define SANSOCK_LOG_WARNING 1
#define SANSOCK_LOG_INFO 2
#define SANSOCK_LOG_DEBUG 3

typedef struct sansock_host sansock_host;

typedef struct sansock_host_ops {
    /* Writes one line to the host's log, under the plugin's name. `text` is borrowed for the call, without a newline.
     * Never on the data path: it may allocate and write. [any, not progress] */
    void (*log)(const sansock_host *host, int32_t level, const char *text);

    /* Zeroed memory of `bytes`, aligned to `alignment` (a power of two, at most 4096). NULL when there is none. The
     * plugin owns it until it calls `release`. [any, not progress] */
    void *(*allocate)(const sansock_host *host, size_t bytes, size_t alignment);

    /* Gives back what `allocate` gave; NULL is allowed. [any, not progress] */
    void (*release)(const sansock_host *host, void *memory);

    /* Nanoseconds of a clock that never goes back and is the same in all processes of this computer. [any] */
    uint64_t (*now_ns)(const sansock_host *host);

    /* The table of a host extension such as "sansock.host.open-provider/1", or NULL when this host has none. Valid
     * until deinit. [any] */
    const void *(*get_extension)(const sansock_host *host, const char *id);
} sansock_host_ops;

/* Lives from before init until after deinit. */
struct sansock_host {
    const sansock_host_ops *ops;
};
