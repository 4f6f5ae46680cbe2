/* SPDX-License-Identifier: MIT */
/*
 * When a module whose worker died comes back, as struct berth_restart_policy says. A pure function
 * of the clock that it is given. Not thread-safe.
 */
#ifndef RUNTIME_LOOP_RESTART_H
#define RUNTIME_LOOP_RESTART_H

#include <berth/host.h>
#include <stdbool.h>
#include <stdint.h>

#define BERTH_RESTART_LIMIT_MAX 32
/* The defaults: so many times within the window, and the delays. */
#define BERTH_RESTART_LIMIT     5
#define BERTH_RESTART_WINDOW_NS INT64_C(30000000000)
#define BERTH_RESTART_FIRST_NS  INT64_C(100000000)
#define BERTH_RESTART_LAST_NS   INT64_C(30000000000)

struct berth_restart {
    struct berth_restart_policy policy;
    int64_t times[BERTH_RESTART_LIMIT_MAX]; /* of the newest restarts: a ring of policy.limit */
    uint64_t count;                         /* of all of them */
    int64_t delay;                          /* before the next one */
};

/* What was given (NULL: nothing), with the defaults in the place of each 0. */
int berth_restart_policy_read(const struct berth_restart_policy *given,
                              struct berth_restart_policy *ret_policy, struct berth_error *error);
/* policy: one that has been read. */
void berth_restart_init(struct berth_restart *restart, const struct berth_restart_policy *policy);
/*
 * To be asked once after each death, and after each restart that failed. False: give up; a
 * berth_restart_init (when an operator says so) begins anew. Else the restart is due at now +
 * *ret_delay, and counted.
 */
bool berth_restart_next(struct berth_restart *restart, int64_t now, int64_t *ret_delay);

#endif
