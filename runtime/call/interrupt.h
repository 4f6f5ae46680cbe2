/* SPDX-License-Identifier: MIT */
/*
 * Waits that are in vain when the call that waits is cancelled, or the module that waits stops, or
 * ends under its calls. Whoever waits says so first, then looks whether it is over already, and
 * looks again after each time that it is woken: so nothing is missed, and nobody has to look now
 * and then. A thread that neither runs a call that can be cancelled nor belongs to a module that
 * can stop pays nothing before its wait lasts.
 */
#ifndef RUNTIME_CALL_INTERRUPT_H
#define RUNTIME_CALL_INTERRUPT_H

#include "runtime/base/list.h"
#include "runtime/call/park.h"
#include "runtime/call/thread.h"

/* Before the scheduler is told that a thread waits, ns: what is over sooner costs it nothing. */
#define BERTH_WAIT_TOLD INT64_C(500000)

/* One wait: on the stack of who waits. */
struct berth_interrupt {
    struct berth_list link;
    struct berth_threads *set; /* NULL: nothing ends it */
    bool listed;
    struct berth_park *park; /* that it sleeps at, */
    /* or what wakes it otherwise; in a lock that is taken after all of a host's; short */
    void (*wake)(struct berth_interrupt *interrupt);
};

/* park and wake: one of them is NULL. */
void berth_interrupt_begin(struct berth_interrupt *interrupt, const berth_ctx *ctx,
                           struct berth_park *park,
                           void (*wake)(struct berth_interrupt *interrupt));
/* It lasts: from here on the end of a module that is waited in interrupts it, too. */
void berth_interrupt_lasts(struct berth_interrupt *interrupt);
void berth_interrupt_end(struct berth_interrupt *interrupt);
/* After something of these has changed: all of the set look again. Whether there are any. */
bool berth_interrupt_all(struct berth_threads *set);

/*
 * Who is inside of something is told to stop, from now on, until `tells` is false; *telling stays
 * as it is until then. That it is not told is fine. berth_interrupt_all is the caller's.
 */
void berth_threads_tell(struct berth_threads *set, struct berth_telling *telling, bool tells);

/* Whether the call that this thread runs, or one that it was started under, is cancelled. */
static inline bool berth_thread_cancelled(const struct berth_thread *thread)
{
    return thread->cancelled && __atomic_load_n(thread->cancelled, __ATOMIC_ACQUIRE);
}
/* The same, or that ctx is told to stop: why, as the end of a sentence; NULL: neither. */
const char *berth_call_over(const berth_ctx *ctx);
/* Why a wait of ctx is over, as the end of a sentence; NULL: it is not. */
const char *berth_interrupted(const berth_ctx *ctx);

#endif
