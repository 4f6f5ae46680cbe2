/* SPDX-License-Identifier: MIT */
/*
 * One thread waits until another one says that it may go on.
 *
 * To be woken takes the waiter some 20 to 50 us when its processor has gone to rest, and costs the
 * other one a system call. So the waiter looks for about as long as that before it sleeps, provided
 * that whoever woke it last did that on another processor: on its own it would keep the processor
 * from just the thread that it waits for. There it yields, as long as a yield comes back at once:
 * one that does not has given a whole time slice to somebody who has nothing to do with it. What
 * was in vain is done less often afterwards, so that a thread that is seldom needed only sleeps.
 */
#ifndef RUNTIME_CALL_PARK_H
#define RUNTIME_CALL_PARK_H

#include <stdbool.h>
#include <stdint.h>

struct berth_park {
    uint32_t state; /* atomic */
    int32_t waker;  /* the processor on which it was last woken; atomic */
    /* the waiter's */
    uint32_t in_vain; /* times in a row that it did not sleep, but should have */
    uint32_t skip;    /* times that it sleeps at once */
};

void berth_park_init(struct berth_park *park);
/* Before the wait, or during it: that ends. Any thread; once is as good as several times. */
void berth_park_wake(struct berth_park *park);
/*
 * false: the deadline (as berth_now, BERTH_FOREVER: none) has passed. One thread, always the same.
 */
bool berth_park_wait(struct berth_park *park, int64_t deadline);
/* The same, asleep at once: for who waits for nobody in particular. */
bool berth_park_sleep(struct berth_park *park, int64_t deadline);
/*
 * The same, and it is woken at another futex, too, if that has this value; or for no reason. NULL:
 * at that alone.
 */
bool berth_park_sleep_at(struct berth_park *park, uint32_t *word, uint32_t value, int64_t deadline);
/* The calling thread's: for any wait that looks again each time that it is woken. */
struct berth_park *berth_park_own(void);

#endif
