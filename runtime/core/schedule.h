/* SPDX-License-Identifier: MIT */
/* Who runs what: the pool, the loop's thread, jobs. Takes run_lock itself. */
#ifndef RUNTIME_CORE_SCHEDULE_H
#define RUNTIME_CORE_SCHEDULE_H

#include "runtime/core/core.h"

/* With all signals blocked, and the application's thread function first. Returns an errno value. */
int berth_thread_spawn(struct berth_host *host, pthread_t *ret_thread, void *(*run)(void *),
                       void *argument, const char *name);
int berth_schedule_start(struct berth_host *host, struct berth_error *error);
void berth_schedule_stop(struct berth_host *host);
/* For a host that cannot be freed: nothing new is begun, and nothing waited for. */
void berth_schedule_leave(struct berth_host *host);
/* The module has mail. Its mail_lock is held. */
void berth_schedule_module(struct berth_module *module);
/* The calling thread is one of the pool, and as far as it can see there is nothing else to do. */
bool berth_schedule_is_free(const struct berth_host *host);
/*
 * Without threads: who waits does the work, until then or once something was done, and none of it
 * belongs to what ctx is in. since: berth_loop_woken, from before it looked at what it waits for.
 * false: it cannot, for want of memory, or calls are nested too deeply.
 */
bool berth_schedule_work(berth_ctx *ctx, struct berth_host *host, uint64_t since, int64_t until);
/*
 * Without threads: does what there is to do now, for who waits for what is no answer, as the end of
 * a turn. The thread need not have entered. Returns whether something was done.
 */
bool berth_schedule_help(struct berth_host *host);
/* But not of modules that it is inside of: when it waits no more, they have turns again. */
void berth_schedule_let_in(struct berth_host *host);
/* true: it was waiting in the run queue, and is not any more. */
bool berth_schedule_cancel(struct berth_module *module);
/*
 * The calling thread is about to wait for what somebody else does, and (goes_on) waits no more. If
 * it is one of the pool, another one works meanwhile in its place. No lock but admin is held.
 */
void berth_schedule_blocks(struct berth_host *host);
void berth_schedule_goes_on(struct berth_host *host);
static inline void berth_schedule_waits(struct berth_host *host, bool waits)
{
    if (waits)
        berth_schedule_blocks(host);
    else
        berth_schedule_goes_on(host);
}
/* Runs run(argument) once, on a thread that may block. An error code: it is not run. */
int berth_schedule_job(struct berth_host *host, void (*run)(void *argument), void *argument);
/* The same, surely, in memory of its owner's, who does not give it again before it runs. */
void berth_schedule_lent(struct berth_host *host, struct berth_job *job);
/* The same for what the host has to do, however many jobs modules have: it comes first. */
int berth_schedule_own_job(struct berth_host *host, void (*run)(void *argument), void *argument);
void berth_schedule_own_lent(struct berth_host *host, struct berth_job *job);
/*
 * Waits until a thread of the pool and that of the loop have come by; what has not until the
 * deadline, in words, else NULL. Without threads there is nothing to wait for.
 */
const char *berth_schedule_check(struct berth_host *host, int64_t deadline);
/* What is to do now, on this thread, after waiting at most timeout ns for something. */
int berth_schedule_run(struct berth_host *host, int64_t timeout);
/* The same for who has looked since then (berth_loop_woken). */
int berth_schedule_run_since(struct berth_host *host, uint64_t since, int64_t timeout);

#endif
