/* SPDX-License-Identifier: MIT */
/*
 * Who waits for whom, in all hosts of the process, whatever for: the gate of a serial module, room
 * in a mailbox, a module that is being replaced, the end of a turn. A wait that could not end,
 * since those it waits for wait for it, is refused before it begins.
 *
 * Who waits is a chain of calls; the others are the chains that have to go on first, which the wait
 * tells when it is asked. Only those who wait are in here: who does not wait pays nothing.
 *
 * Why what is found is true, and nothing is missed: a chain that waits goes on, and so gives up
 * what it holds, only after it has taken its wait out of here, under the lock. And whoever gets
 * hold of something does not wait, so a ring is only ever closed by beginning to wait; or by what
 * is told of late, since it happens in a worker (berth_wait_again).
 *
 * The lock is taken before every lock of a host's but admin and topic_lock.
 */
#ifndef RUNTIME_CALL_RING_H
#define RUNTIME_CALL_RING_H

#include "runtime/base/list.h"
#include <berth/call.h>

struct berth_park;

#define BERTH_RING_TEXT 512

/* No chain: someone, or something, that goes on without any chain that could be told. */
#define BERTH_CHAIN_OTHER ((uint32_t)1)

/* One wait: on the stack of who waits. The first part is the caller's, and stays as it is. */
struct berth_wait {
    const berth_ctx *ctx; /* whose wait it is; NULL: of `chain`, which no thread here runs */
    const void *of;       /* what for */
    /*
     * The i-th chain that must go on before the wait can end; 0: there are no more. None at all: it
     * goes on by itself, or may already. Called with the finder's lock, for waits of others, too.
     */
    uint32_t (*holder)(const struct berth_wait *wait, size_t i);
    bool any; /* one of them is enough, not all of them */
    /*
     * What for, in words that begin with the module's name: "a.h", "a (mailbox)". NULL: the frame
     * at ctx[1] says it, which there must be.
     */
    const char *target;
    const char *function; /* without ctx: whose wait it is, "a.f"; or NULL */
    /*
     * Ends the wait from outside: it wakes who waits, who then looks at `refused`. May be called at
     * any time up to berth_wait_end, with the finder's lock. NULL: it cannot be ended.
     */
    void (*refuse)(struct berth_wait *wait);
    bool patient; /* if it closes a ring, rather one in it that has `refuse` is refused */
    bool yields;  /* is refused rather than any other one of a ring; has `refuse` */
    /*
     * It may be over, where only who is told by `refuse` can see that, who does nothing then: so if
     * a ring is found by way of it, it is this one that is refused.
     */
    bool doubtful;

    /*
     * In a worker, of a wait that its host is told of, which may refuse it: where that wakes it,
     * and its number; 0: nobody is told.
     */
    struct berth_park *park;
    uint64_t told;

    bool refused;               /* atomic; `ring` says why */
    char ring[BERTH_RING_TEXT]; /* why not: "it would wait for itself: a.f → b.g → a.h" */

    /* the finder's */
    struct berth_list link;
    struct berth_wait *towards; /* the next one of the ring */
    uint32_t chain;             /* without ctx the caller's */
    uint32_t over;              /* the search that has found that it can end */
    uint32_t passed;            /* the walk around the ring that has been here */
    bool on_path;
};

/*
 * false: the wait could not end; wait->ring says why, and it has not begun. The code for that is
 * BERTH_ABORTED. Called without locks of a host's, but admin.
 */
bool berth_wait_begin(struct berth_wait *wait);
/* The wait is over, for whatever reason. Before anything is given up that the chain holds. */
void berth_wait_end(struct berth_wait *wait);

/*
 * A chain has come to be known to be waited for, which was so before: those who wait for it are
 * looked at again. Called without locks of a host's, but admin.
 */
void berth_wait_again(uint32_t chain);

/*
 * In `holder`: whether ctx's thread waits further in, for something else: what is left for ctx to
 * do is done after that.
 */
bool berth_wait_above(const berth_ctx *ctx);

/* Whoever was asked for the holders of a wait until now has answered. Locks as above. */
void berth_waits_pass(void);

static inline bool berth_wait_refused(const struct berth_wait *wait)
{
    return __atomic_load_n(&wait->refused, __ATOMIC_ACQUIRE);
}

#endif
