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

#include <stddef.h>

struct berth_chunk;
struct berth_thread;
struct berth_threads;

/*
 * thread: the calling one, or NULL. Aligned to a line of the cache, or as malloc's; NULL without
 * memory. *ret_chunk is for give.
 */
void *berth_stock_take(struct berth_thread *thread, size_t size, struct berth_chunk **ret_chunk);
/*
 * Memory that is to be written to soon: it comes from other caches meanwhile. A compiler that does
 * not know the processor fetches it for reading, and so each line twice; a processor without the
 * instruction takes it for none.
 */
static inline void berth_stock_fetch(const char *memory, size_t size)
{
    for (size_t i = 0; i < size; i += 64)
#if defined __x86_64__
        __asm__ volatile("prefetchw %0" : : "m"(memory[i]));
#else
        __builtin_prefetch(memory + i, 1);
#endif
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
