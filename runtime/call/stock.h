/* SPDX-License-Identifier: MIT */
/*
 * Memory that one thread takes and another one gives back, as that of messages. A heap makes such
 * threads wait for each other, and for its lock. So each thread has chunks of its own, which it
 * cuts into pieces from front to back: so the next piece is where a processor looks ahead by
 * itself. Who is done with a piece only counts that; with the last one the chunk goes back, without
 * a lock. What is larger, and what goes beyond so many chunks, comes from the heap.
 *
 * The chunks stay for the life of the set: a thread that ends leaves them to another one.
 */
#ifndef RUNTIME_CALL_STOCK_H
#define RUNTIME_CALL_STOCK_H

#include "runtime/call/thread.h"

#define BERTH_STOCK_LINE    64   /* where each piece begins: no two share one */
#define BERTH_STOCK_LARGEST 8192 /* piece: a message of a page, and its receivers */
#define BERTH_STOCK_AHEAD   768  /* bytes, at most, that are fetched before they are needed */

struct berth_chunk;

struct berth_stock {
    /* the thread's; one that has only the heap has no chunk */
    char *at, *end;            /* in it */
    struct berth_chunk *chunk; /* that is being cut, or NULL */
    size_t cut;                /* pieces of it so far */
    struct berth_chunk *free, *made;
    size_t count; /* made */
    /* pieces that have been given back, and are to be told */
    struct berth_chunk *given;
    size_t given_count;
    struct berth_threads *set;
    struct berth_stock *next; /* of the set */
    bool taken;               /* by a thread; under the set's lock */
    /* what others have brought back: a stack that is taken as a whole; atomic */
    struct berth_chunk *back __attribute__((aligned(BERTH_STOCK_LINE)));
};
/*
 * Memory that is to be written to soon: it comes from other caches meanwhile. A compiler that does
 * not know the processor fetches it for reading, and so each line twice; a processor without the
 * instruction takes it for none.
 */
static inline void berth_stock_fetch(const char *memory, size_t size)
{
    for (const char *end = memory + size; memory < end; memory += 64)
#if defined __x86_64__
        __asm__ volatile("prefetchw %0" : : "m"(*memory));
#else
        __builtin_prefetch(memory, 1);
#endif
}

/* When another chunk has to be begun, or it is the heap's. */
void *berth_stock_take_slowly(struct berth_thread *thread, size_t size,
                              struct berth_chunk **ret_chunk);
static inline void *berth_stock_cut(struct berth_stock *stock, size_t room)
{
    char *piece = stock->at;
    stock->at += room;
    stock->cut++; /* then the next piece but one */
    berth_stock_fetch(stock->at + room, room < BERTH_STOCK_AHEAD ? room : BERTH_STOCK_AHEAD);
    return piece;
}
/*
 * thread: the calling one, or NULL. Aligned to a line of the cache, or as malloc's; NULL without
 * memory. *ret_chunk is for give.
 */
static inline void *berth_stock_take(struct berth_thread *thread, size_t size,
                                     struct berth_chunk **ret_chunk)
{
    struct berth_stock *stock = thread ? thread->stock : NULL;
    size_t room = (size + BERTH_STOCK_LINE - 1) & ~(size_t)(BERTH_STOCK_LINE - 1);
    if (BERTH_I_UNLIKELY(!stock) || BERTH_I_UNLIKELY(size > BERTH_STOCK_LARGEST) ||
        BERTH_I_UNLIKELY((size_t)(stock->end - stock->at) < room))
        return berth_stock_take_slowly(thread, size, ret_chunk);
    *ret_chunk = stock->chunk;
    return berth_stock_cut(stock, room);
}
/* Any thread. */
void berth_stock_give(void *memory, struct berth_chunk *chunk);
/* What the calling thread has counted for another one is told now. */
void berth_stock_return(struct berth_thread *thread);

/* The thread ends. The set's lock is held, but at the set's end. */
void berth_stock_leave(struct berth_thread *thread);
/* At the set's end; all has been given back. */
void berth_stocks_free(struct berth_threads *set);

#endif
