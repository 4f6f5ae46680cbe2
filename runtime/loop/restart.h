/* SPDX-License-Identifier: MIT */
/*
 * When a module whose worker died comes back: at once, then after 100 ms, doubling to 30 s; never
 * for a sixth time within 30 s. Having lived for 30 s forgives what was before. A pure function of
 * the clock that it is given. Not thread-safe.
 */
#ifndef RUNTIME_LOOP_RESTART_H
#define RUNTIME_LOOP_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define BERTH_RESTART_LIMIT     5 /* times within the window */
#define BERTH_RESTART_WINDOW_NS INT64_C(30000000000)
#define BERTH_RESTART_FIRST_NS  INT64_C(100000000)
#define BERTH_RESTART_LAST_NS   INT64_C(30000000000)

struct berth_restart {
    int64_t times[BERTH_RESTART_LIMIT]; /* of the newest restarts, as a ring */
    uint64_t count;                     /* of all of them */
    int64_t delay;                      /* before the next one */
};

void berth_restart_init(struct berth_restart *restart);
/*
 * To be asked once after each death, and after each restart that failed. False: give up; a
 * berth_restart_init (when an operator says so) begins anew. Else the restart is due at now +
 * *ret_delay, and counted.
 */
bool berth_restart_next(struct berth_restart *restart, int64_t now, int64_t *ret_delay);

#endif
