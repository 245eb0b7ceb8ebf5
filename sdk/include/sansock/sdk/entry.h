/* The one symbol that a plugin exports: `sansock_plugin_entry`. The host reads the manifest first, then loads the
 * library, compares `abi_major`, and only then calls anything. */
#pragma once

#include <stdint.h>

#include "sansock/sdk/host.h"
#include "sansock/sdk/provider.h"
#include "sansock/sdk/status.h"
#include "sansock/sdk/version.h"

#define SANSOCK_PLUGIN_ENTRY_NAME "sansock_plugin_entry"

/* Frozen: `abi_major` stays the first member in every version of this contract. */
typedef struct sansock_plugin {
    uint32_t abi_major;      /* SANSOCK_ABI_MAJOR as the plugin was built. */
    uint32_t abi_minor;      /* SANSOCK_ABI_MINOR as the plugin was built. */
    const char *name;        /* The same as in the manifest. */
    const char *version;     /* The plugin's own version. */
    const char *sdk_version; /* SANSOCK_SDK_VERSION as the plugin was built. */

    /* Prepares the library: what every provider of it needs, such as opening a device. `host` is lent until deinit.
     * 0, or ENODEV, ENOMEM, EPERM, EIO with the reason in `error`; then the plugin is as if init had not been called,
     * and init may be tried again. [control & loaded] */
    int32_t (*init)(const sansock_host *host, sansock_error *error);

    /* Undoes init. All providers are closed by then. Stops every thread of the plugin and waits for it: the code may
     * be unmapped on return. [control & initialized] */
    void (*deinit)(void);

    /* Opens the provider that `config` describes. The config and its strings are borrowed for the call.
     * 0 and `*provider`, owned by the caller until its `close`; or EINVAL (the YAML block is wrong; the text says
     * where and what is allowed), ENODEV, ENOMEM, EPERM, EIO with the reason in `error`, and nothing is left behind.
     * [control & initialized] */
    int32_t (*open_provider)(const sansock_provider_config *config, sansock_provider **provider, sansock_error *error);
} sansock_plugin;

#ifdef __cplusplus
extern "C" {
#endif
__attribute__((visibility("default"))) extern const sansock_plugin sansock_plugin_entry;
#ifdef __cplusplus
}
#endif
