/* Draft, not frozen: sansock.registration-cache/draft1. Registrations of the application's own memory that outlive one
 * transfer. Whoever keeps them must hear of munmap and its kin before the pages are reused; the host does. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/provider.h"

#define SANSOCK_EXT_DRAFT_REGISTRATION_CACHE "sansock.registration-cache/draft1"

typedef struct sansock_registration_cache_ops {
    /* As register_region, for memory that is not the host's and may be found registered already. The region is held
     * until `release`. [control] */
    int32_t (*acquire)(sansock_provider *provider, const sansock_memory *memory, sansock_region **region, sansock_error *error);

    /* Gives the region back; it may stay registered for the next `acquire`. [control] */
    void (*release)(sansock_provider *provider, sansock_region *region);

    /* The addresses are about to be unmapped: on return no registration covers them. EBUSY when one is held and in
     * use. [control] */
    int32_t (*invalidate)(sansock_provider *provider, const void *base, uint64_t length);
} sansock_registration_cache_ops;
