/* sansock.host.open-provider/1: a host extension for plugins that wrap another plugin (faults, tracing). */
#pragma once

#include <stdint.h>

#include "sansock/sdk/host.h"
#include "sansock/sdk/provider.h"
#include "sansock/sdk/status.h"

#define SANSOCK_EXT_HOST_OPEN_PROVIDER "sansock.host.open-provider/1"

typedef struct sansock_host_open_provider_ops {
    /* Opens a provider of the plugin that the catalog knows as `plugin_name`, loading it if need be. `config` is
     * borrowed for the call. 0 and `*provider`, owned by the caller, who closes it before its own provider's close
     * returns; or ENODEV (no such plugin, or it cannot be loaded), EINVAL (it would open itself), or what its
     * open_provider returned; the reason is in `error`.
     * [control, from inside open_provider only] */
    int32_t (*open_provider)(const sansock_host *host, const char *plugin_name, const sansock_provider_config *config,
                             sansock_provider **provider, sansock_error *error);
} sansock_host_open_provider_ops;
