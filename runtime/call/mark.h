/* SPDX-License-Identifier: MIT */
/*
 * What threads do with something that others change, without a lock: each says so in a mark of its
 * own, by plain stores, looks whether that is being changed, and goes another way if it is. Who
 * changes it says that first, and then waits until the marks are gone.
 *
 * Why that is enough: waiting begins with membarrier. A thread upon which it comes before that has
 * looked sees that something is being changed; of every other one the mark is seen, and waited for.
 * Only its thread writes to a mark, so a thread that stops in between, for however long, can undo
 * nobody else's.
 */
#ifndef RUNTIME_CALL_MARK_H
#define RUNTIME_CALL_MARK_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct berth_threads;

/* Kept for the life of the set: a thread that ends leaves it to another one. */
struct berth_mark {
    uint32_t word;   /* 1: set; atomic */
    uint32_t waited; /* how many wait for it; atomic */
    bool taken;      /* by a thread; under the set's lock */
    struct berth_mark *next;
} __attribute__((aligned(64)));

/* A free one, or a new one; NULL: no memory. The set's lock is held. */
struct berth_mark *berth_mark_take(struct berth_threads *set);
/* At the set's end. */
void berth_marks_free(struct berth_threads *set);

/* Its thread, once. What it looks at next is seen as it is once the mark can be. */
static inline void berth_mark_set(struct berth_mark *mark)
{
    assert(!mark->word); /* or the inner end would end the outer one, too */
    __atomic_store_n(&mark->word, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
void berth_mark_wake(struct berth_mark *mark);
/* What the thread has done under the mark comes before. */
static inline void berth_mark_end(struct berth_mark *mark)
{
    assert(mark->word);
    __atomic_store_n(&mark->word, 0, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(&mark->waited, __ATOMIC_RELAXED) != 0, 0))
        berth_mark_wake(mark);
}

/*
 * Until all marks that may have been set before have ended. Not under a mark, nor with a lock that
 * is taken under one.
 */
void berth_marks_wait(struct berth_threads *set);

#endif
