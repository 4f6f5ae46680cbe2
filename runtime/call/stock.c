/* SPDX-License-Identifier: MIT */
#include "runtime/call/stock.h"

#include "runtime/base/memory.h"
#include "runtime/call/thread.h"

#define SIZE      512  /* of a block, without its head: a message of some lines and its receivers */
#define MOST      1024 /* blocks of a thread; as many messages as a mailbox takes, as a rule */
#define COLLECTED 32   /* blocks that go back at once */

#if defined __SANITIZE_ADDRESS__
#define HEAP_ONLY 1 /* it knows the bounds of each block, and who has given it back */
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define HEAP_ONLY 1
#endif
#endif

struct block {
    struct berth_stock *owner; /* NULL: the heap's */
    struct block *next;
} __attribute__((aligned(16)));

struct berth_stock {
    struct berth_threads *set;
    struct berth_stock *next; /* of the set */
    bool taken;               /* by a thread; under the set's lock */
    /* the thread's */
    struct block *free;
    size_t made;
    /* of another stock's, on their way back to it */
    struct berth_stock *other;
    struct block *first, *last;
    size_t collected;
    /* what others have brought back: a stack that is taken as a whole; atomic */
    struct block *back __attribute__((aligned(64)));
};

/* A free one, or a new one; NULL: no memory. The set's lock is held. */
static struct berth_stock *stock_get(struct berth_threads *set)
{
    struct berth_stock *stock = set->stocks;
    while (stock && stock->taken)
        stock = stock->next;
    if (!stock) {
        stock = berth_aligned_alloc(_Alignof(struct berth_stock), sizeof *stock);
        if (!stock)
            return NULL;
        *stock = (struct berth_stock){ .set = set, .next = set->stocks };
        set->stocks = stock;
    }
    stock->taken = true;
    return stock;
}

static struct berth_stock *stock_of(struct berth_thread *thread)
{
    if (BERTH_I_UNLIKELY(!thread->stock)) {
        pthread_mutex_lock(&thread->set->lock);
        thread->stock = stock_get(thread->set);
        pthread_mutex_unlock(&thread->set->lock);
    }
    return thread->stock;
}

static struct block *block_new(struct berth_stock *owner, size_t size)
{
    struct block *block = berth_malloc(sizeof *block + size);
    if (block)
        block->owner = owner;
    return block;
}

static struct block *block_take(struct berth_stock *stock)
{
    if (!stock->free && __atomic_load_n(&stock->back, __ATOMIC_RELAXED))
        stock->free = __atomic_exchange_n(&stock->back, NULL, __ATOMIC_ACQUIRE);
    struct block *block = stock->free;
    if (block) {
        stock->free = block->next;
        for (size_t i = 0; i < SIZE && block->next; i += 64) /* the next one is in other caches */
            __builtin_prefetch((char *)block->next + i, 1);
        return block;
    }
    bool own = stock->made < MOST;
    block = block_new(own ? stock : NULL, SIZE);
    stock->made += own && block;
    return block;
}

void *berth_stock_take(struct berth_thread *thread, size_t size)
{
    struct berth_stock *stock = NULL;
#ifndef HEAP_ONLY
    if (thread && size <= SIZE)
        stock = stock_of(thread);
#endif
    struct block *block = stock ? block_take(stock) : block_new(NULL, size);
    return block ? block + 1 : NULL;
}

static void bring_back(struct berth_stock *owner, struct block *first, struct block *last)
{
    last->next = __atomic_load_n(&owner->back, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&owner->back, &last->next, first, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
}

static void give_collected(struct berth_stock *stock)
{
    if (stock->collected)
        bring_back(stock->other, stock->first, stock->last);
    stock->collected = 0;
}

static void collect(struct berth_stock *stock, struct block *block)
{
    if (stock->collected == COLLECTED || stock->other != block->owner)
        give_collected(stock);
    if (!stock->collected)
        stock->last = block;
    block->next = stock->collected++ ? stock->first : NULL;
    stock->first = block;
    stock->other = block->owner;
}

void berth_stock_give(void *memory)
{
    struct block *block = (struct block *)memory - 1;
    struct berth_stock *owner = block->owner;
    if (!owner) {
        berth_free(block);
        return;
    }
    struct berth_thread *thread = berth_thread_mine(owner->set);
    struct berth_stock *stock = thread ? stock_of(thread) : NULL;
    if (stock == owner) {
        block->next = stock->free;
        stock->free = block;
    } else if (stock) {
        collect(stock, block);
    } else {
        bring_back(owner, block, block);
    }
}

void berth_stock_return(struct berth_thread *thread)
{
    if (thread->stock)
        give_collected(thread->stock);
}

void berth_stock_leave(struct berth_thread *thread)
{
    berth_stock_return(thread);
    if (thread->stock)
        thread->stock->taken = false;
    thread->stock = NULL;
}

static void blocks_free(struct block *block)
{
    while (block) {
        struct block *next = block->next;
        berth_free(block);
        block = next;
    }
}

void berth_stocks_free(struct berth_threads *set)
{
    while (set->stocks) {
        struct berth_stock *stock = set->stocks;
        set->stocks = stock->next;
        blocks_free(stock->free);
        blocks_free(stock->back);
        berth_aligned_free(stock);
    }
}
