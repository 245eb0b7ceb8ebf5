/* Plugins that are wrong at the entry, one kind per BROKEN_*. Plain C, as a vendor may write one. */
#include <sansock/sdk/entry.h>
#include <string.h>

#ifdef BROKEN_UNRESOLVED
int nobody_defines_this(void);
#endif

static int32_t init(const sansock_host *host, sansock_error *error) {
    (void)host;
    (void)error;
#ifdef BROKEN_INIT
    strcpy(error->text, "the device\nis on fire");
    return SANSOCK_ENODEV;
#elif defined(BROKEN_STATUS)
    return 42;
#elif defined(BROKEN_UNRESOLVED)
    return nobody_defines_this();
#else
    return SANSOCK_OK;
#endif
}

static void deinit(void) {}

#ifndef BROKEN_FUNCTION
static int32_t open_provider(const sansock_provider_config *config, sansock_provider **provider, sansock_error *error) {
    (void)config;
    (void)provider; /* Success without a provider. */
    (void)error;
    return SANSOCK_OK;
}
#endif

#ifdef BROKEN_SYMBOL
const sansock_plugin not_the_entry
#else
const sansock_plugin sansock_plugin_entry
#endif
    = {
#ifdef BROKEN_ABI
        .abi_major = SANSOCK_ABI_MAJOR + 1,
        .abi_minor = 7,
#else
        .abi_major = SANSOCK_ABI_MAJOR,
        .abi_minor = SANSOCK_ABI_MINOR,
#endif
        .name = BROKEN_NAME,
        .version = "1",
        .sdk_version = SANSOCK_SDK_VERSION,
        .init = init,
        .deinit = deinit,
#ifndef BROKEN_FUNCTION
        .open_provider = open_provider,
#endif
};
