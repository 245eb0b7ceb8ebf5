/* sansock.fault-injection/1: break an endpoint on purpose. For tests of what lies above a provider; a provider that
 * serves production does not have it. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/endpoint.h"

#define SANSOCK_EXT_FAULT_INJECTION "sansock.fault-injection/1"

typedef struct sansock_fault_injection_ops {
    /* The endpoint fails with `status`, as if the device had: the next poll flushes its requests and reports the
     * change of state. A failed endpoint stays as it is. [progress] */
    void (*fail)(sansock_endpoint *endpoint, int32_t status);

    /* From now on nothing completes on the endpoint and nothing leaves it, and no error says so, as on a cut cable.
     * Posting goes on until the depths are reached. [progress] */
    void (*silence)(sansock_endpoint *endpoint);
} sansock_fault_injection_ops;
