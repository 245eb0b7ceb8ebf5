/* Registered memory. The host owns the memory: it was there before the provider and outlives it, since the bytes in it
 * may have to be sent again over another path when the provider dies. */
#pragma once

#include <stdint.h>

/* Opaque to the host; made by register_region. */
typedef struct sansock_region sansock_region;

typedef struct sansock_memory {
    uint32_t size;
    int32_t memfd;   /* Backs the memory; -1 when none does. Borrowed for the call: dup to keep it. */
    void *base;      /* Page aligned, readable and writable, mapped shared (MAP_SHARED). */
    uint64_t length; /* Bytes, a multiple of the page size, not 0. */
    uint64_t offset; /* Of `base` in `memfd`. */
} sansock_memory;

/* A run of bytes in a request. `region` is the registration that holds all of it, or NULL for unregistered memory,
 * which only sends may name, within `inline_bytes_max`. Fixed. */
typedef struct sansock_slice {
    void *address;
    uint64_t length;
    sansock_region *region;
} sansock_slice;
