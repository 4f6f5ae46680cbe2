/* SPDX-License-Identifier: MIT */
/* A module's timers and watches. Any thread; no lock is held by the caller. */
#ifndef RUNTIME_CORE_ALARM_H
#define RUNTIME_CORE_ALARM_H

#include "runtime/core/core.h"

/* 0: *error tells. Times in nanoseconds. */
uint64_t berth_alarm_timer(struct berth_generation *generation, int64_t delay, int64_t period,
                           berth_timer_fn fn, void *user, struct berth_error *error);
uint64_t berth_alarm_watch(struct berth_generation *generation, int fd, uint32_t events,
                           berth_watch_fn fn, void *user, struct berth_error *error);
/* No callback begins after it returns; waits for one that runs, unless called from it. */
void berth_alarm_cancel(struct berth_generation *generation, uint64_t id);
void berth_alarms_end(struct berth_generation *generation);

#endif
