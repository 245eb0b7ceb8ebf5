/* Which contract a plugin was built against.
 *
 * The major number changes when a frozen table or a fixed record changes; a host loads a plugin only if both were
 * built with the same one. The minor number grows with each extension or trailing data member and is information only:
 * what is absent is found out by asking for the extension or by the record's leading `size`. */
#pragma once

#include <stddef.h>

#define SANSOCK_ABI_MAJOR 1
#define SANSOCK_ABI_MINOR 0
#define SANSOCK_SDK_VERSION "0.1.0"

#ifdef __cplusplus
#define SANSOCK_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define SANSOCK_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

/* Data records that may grow begin with `uint32_t size`, set by whoever writes the record to the size that it knows. A
 * reader uses a member only if the writer knew it. */
#define SANSOCK_HAS(record, member) ((record)->size >= (size_t)((const char *)(&(record)->member + 1) - (const char *)(record)))
