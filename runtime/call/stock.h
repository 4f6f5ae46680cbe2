/* SPDX-License-Identifier: MIT */
/*
 * Memory that one thread takes and another one gives back, as that of messages. A heap makes such
 * threads wait for each other, and for its lock. So each thread has blocks of its own, all of one
 * size; those that others are done with come back to it, many at a time, and without a lock. What
 * is larger, and what goes beyond so many blocks, comes from the heap.
 *
 * The blocks stay for the life of the set: a thread that ends leaves them to another one.
 */
#ifndef RUNTIME_CALL_STOCK_H
#define RUNTIME_CALL_STOCK_H

#include <stddef.h>

struct berth_thread;
struct berth_threads;

/* thread: the calling one, or NULL. Aligned as malloc's; NULL without memory. */
void *berth_stock_take(struct berth_thread *thread, size_t size);
/* Any thread. */
void berth_stock_give(void *memory);
/* What the calling thread has collected for another one goes back to it now. */
void berth_stock_return(struct berth_thread *thread);

/* The thread ends. The set's lock is held, but at the set's end. */
void berth_stock_leave(struct berth_thread *thread);
/* At the set's end; all has been given back. */
void berth_stocks_free(struct berth_threads *set);

#endif
