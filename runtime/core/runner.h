/* SPDX-License-Identifier: MIT */
/*
 * The threads of a host's pool, and what each of them has next.
 *
 * A module that gets mail from a thread of the pool is put into that thread's own place, if there
 * is nothing older to do: its turn follows at once, on the same processor, and nobody is woken.
 * Should the thread be kept by what it is doing, another one takes it from there: as long as
 * threads work, an idle one watches them, first as often as it would take to be woken, then, while
 * nothing is found, seldom. With nobody at work nobody watches.
 *
 * Everything else waits in the host's run queue, and an idle thread is woken for it, if there is
 * one: who slept last comes first, as what it knows is still in its cache.
 */
#ifndef RUNTIME_CORE_RUNNER_H
#define RUNTIME_CORE_RUNNER_H

#include "runtime/call/park.h"
#include "runtime/core/core.h"

struct berth_runner {
    struct berth_host *host;
    pthread_t thread;
    struct berth_park park;
    struct berth_list idle;    /* in host->idle_runners, while it is; under run_lock */
    struct berth_module *next; /* atomic: whoever exchanges it for NULL has it */
    uint64_t turns;            /* taken; atomic */
    /* the watcher's: what it saw here last */
    const struct berth_module *seen;
    uint64_t seen_turns;
} __attribute__((aligned(64)));

/* The calling thread's, if it is one of the host's, else NULL. */
struct berth_runner *berth_runner_own(const struct berth_host *host);
void berth_runner_begin(struct berth_runner *runner);

/* false: it has something already. Afterwards somebody watches, if anybody is idle. */
bool berth_runner_put(struct berth_runner *runner, struct berth_module *module);
struct berth_module *berth_runner_take(struct berth_runner *runner);
/* It was some thread's next one, and is not any more. run_lock held. */
bool berth_runner_withdraw(struct berth_host *host, struct berth_module *module);

/* An idle one, which is not idle any more, to be woken; NULL: none. run_lock held. */
struct berth_runner *berth_runner_pop(struct berth_host *host);
/*
 * Nothing to do: until there may be something, which is in the queue, or else returned. run_lock
 * held, and again afterwards.
 */
struct berth_module *berth_runner_rest(struct berth_runner *runner);

#endif
