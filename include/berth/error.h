/* SPDX-License-Identifier: MIT */
/*
 * Error codes and the error record, shared by everything that Berth is.
 *
 * The sixteen codes are the canonical RPC status codes, by name and number: a failure has the same
 * code whether the callee ran inline, in a worker, or behind the control socket.
 */
#ifndef BERTH_ERROR_H
#define BERTH_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* since 0.1 */
enum berth_code {
    BERTH_OK = 0,
    BERTH_CANCELLED = 1,           /* the caller gave up */
    BERTH_UNKNOWN = 2,             /* a failure that says no more */
    BERTH_INVALID_ARGUMENT = 3,    /* wrong whatever the state of the system */
    BERTH_DEADLINE_EXCEEDED = 4,   /* no answer in time; it may still have happened */
    BERTH_NOT_FOUND = 5,           /* no such module, function, file, handle */
    BERTH_ALREADY_EXISTS = 6,      /* the name is taken */
    BERTH_PERMISSION_DENIED = 7,   /* the caller may not; trying again changes nothing */
    BERTH_RESOURCE_EXHAUSTED = 8,  /* memory, a full mailbox, a limit */
    BERTH_FAILED_PRECONDITION = 9, /* not in this state: do something else first */
    BERTH_ABORTED = 10,        /* would deadlock, or lost against a change: try again higher up */
    BERTH_OUT_OF_RANGE = 11,   /* past the valid range */
    BERTH_UNIMPLEMENTED = 12,  /* not supported here */
    BERTH_INTERNAL = 13,       /* a broken invariant, a C++ exception */
    BERTH_UNAVAILABLE = 14,    /* not now: the module is missing, restarting, its worker died */
    BERTH_DATA_LOSS = 15,      /* unrecoverable loss or corruption */
    BERTH_UNAUTHENTICATED = 16 /* who is asking is not known */
};

/*
 * What went wrong, in words that name the thing and the cure. The caller owns it, usually on its
 * stack; nothing in it is allocated, so reporting an error never fails. Longer texts are cut at a
 * character's boundary. Functions that take one accept NULL, and leave it untouched when they
 * succeed.   since 0.1
 */
struct berth_error {
    int32_t code; /* enum berth_code */
    uint32_t reserved;
    char text[1016]; /* UTF-8, NUL-ended, no newline at its end */
};

#ifdef __cplusplus
}
#endif
#endif
