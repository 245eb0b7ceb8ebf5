/* What a call answers: SANSOCK_OK, or one of the negative numbers below.
 *
 * They are Linux errno numbers with the sign changed, so that a person reading a log knows them, written out so that
 * the contract does not change with the platform. Each function says which of them it may return and what state they
 * leave. */
#pragma once

#include <stdint.h>

#define SANSOCK_OK 0
#define SANSOCK_EPERM (-1)        /* The system or the peer's policy does not allow it. */
#define SANSOCK_EIO (-5)          /* The device or path failed. */
#define SANSOCK_EAGAIN (-11)      /* No room now; nothing was done; try again after the next completion. */
#define SANSOCK_ENOMEM (-12)      /* Out of memory, locked memory, descriptors or another resource of the process. */
#define SANSOCK_EBUSY (-16)       /* The object is still in use. */
#define SANSOCK_ENODEV (-19)      /* The device that the configuration names is not there; of an endpoint, any more. */
#define SANSOCK_EINVAL (-22)      /* An argument breaks the contract, or the call does not fit the state. */
#define SANSOCK_ENOSPC (-28)      /* A limit that the caller set or was told is reached. */
#define SANSOCK_EPROTO (-71)      /* The peer sent what no correct peer sends. */
#define SANSOCK_EOVERFLOW (-75)   /* A message arrived and no receive was posted for it, where that can be told. */
#define SANSOCK_EMSGSIZE (-90)    /* The message is longer than the limit or than the receive. */
#define SANSOCK_ENOTSUP (-95)     /* This provider cannot do that. */
#define SANSOCK_ECONNRESET (-104) /* The peer closed the endpoint or died. */
#define SANSOCK_ENOTCONN (-107)   /* The endpoint is not established, or no longer. */
#define SANSOCK_ETIMEDOUT (-110)  /* The peer did not answer in time. */
#define SANSOCK_ECANCELED (-125)  /* Flushed: the endpoint failed before this request was done. */

/* The reason behind a failed [control] call, for people. The caller sets `size` and an empty `text`; the callee writes
 * one sentence without a full stop: what is wrong, what is allowed; or several, one a line. Always zero-terminated. */
#define SANSOCK_ERROR_TEXT_MAX 508
typedef struct sansock_error {
    uint32_t size;
    char text[SANSOCK_ERROR_TEXT_MAX];
} sansock_error;

/* The status' name, such as "EAGAIN"; "unknown status" for any other number. Never NULL. [any] */
static inline const char *sansock_status_name(int32_t status) {
    switch (status) {
        case SANSOCK_OK: return "OK";
        case SANSOCK_EPERM: return "EPERM";
        case SANSOCK_EIO: return "EIO";
        case SANSOCK_EAGAIN: return "EAGAIN";
        case SANSOCK_ENOMEM: return "ENOMEM";
        case SANSOCK_EBUSY: return "EBUSY";
        case SANSOCK_ENODEV: return "ENODEV";
        case SANSOCK_EINVAL: return "EINVAL";
        case SANSOCK_ENOSPC: return "ENOSPC";
        case SANSOCK_EPROTO: return "EPROTO";
        case SANSOCK_EOVERFLOW: return "EOVERFLOW";
        case SANSOCK_EMSGSIZE: return "EMSGSIZE";
        case SANSOCK_ENOTSUP: return "ENOTSUP";
        case SANSOCK_ECONNRESET: return "ECONNRESET";
        case SANSOCK_ENOTCONN: return "ENOTCONN";
        case SANSOCK_ETIMEDOUT: return "ETIMEDOUT";
        case SANSOCK_ECANCELED: return "ECANCELED";
        default: return "unknown status";
    }
}
