/* sansock.statistics/1: what an endpoint has done so far. For tests and tools: not read by this version of sansock. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/endpoint.h"

#define SANSOCK_EXT_STATISTICS "sansock.statistics/1"

typedef struct sansock_statistics {
    uint32_t size;
    uint32_t reserved;
    uint64_t messages_sent; /* Those whose send completed with SANSOCK_OK. */
    uint64_t bytes_sent;
    uint64_t messages_received;
    uint64_t bytes_received;
    uint64_t notifications_sent; /* System calls made to wake the peer. */
    uint64_t sends_delayed;      /* Sends that found no room at the peer and waited. */
} sansock_statistics;

typedef struct sansock_statistics_ops {
    /* Fills `statistics` up to the `size` that the caller set. Counts from creation on. [progress] */
    void (*get)(sansock_endpoint *endpoint, sansock_statistics *statistics);
} sansock_statistics_ops;
