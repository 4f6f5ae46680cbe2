/* SPDX-License-Identifier: MIT */
#include "runtime/call/stock.h"

#include "runtime/base/memory.h"

#define LINE    BERTH_STOCK_LINE
#define CHUNK   65536
#define MOST    16 /* chunks of a thread: as many small messages as mailboxes take, and more */
#define UNKNOWN ((size_t)1 << 30) /* pieces, of a chunk that is still being cut */
#define SPARE   (UNKNOWN << 1)    /* of one that nobody has a piece of, while such go */

#if defined __SANITIZE_ADDRESS__
#define HEAP_ONLY 1 /* it knows the bounds of each piece, and who has given it back */
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define HEAP_ONLY 1
#endif
#endif

struct berth_chunk {
    struct berth_threads *set; /* the owner's, whose own numbers change with each piece */
    struct berth_stock *owner;
    struct berth_chunk *made; /* the owner's one before */
    struct berth_chunk *next; /* of those that nobody has a piece of */
    size_t left;              /* pieces that have not been given back; atomic */
} __attribute__((aligned(LINE)));

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

/* ---- giving back ---- */

/* So many pieces are. The last ones bring the chunk back; stock: the calling thread's, or NULL. */
static void tell(struct berth_stock *stock, struct berth_chunk *chunk, size_t count)
{
    struct berth_stock *owner = chunk->owner;
    if (__atomic_sub_fetch(&chunk->left, count, __ATOMIC_ACQ_REL) > 0)
        return;
    if (owner == stock) {
        chunk->next = owner->free;
        owner->free = chunk;
        return;
    }
    chunk->next = __atomic_load_n(&owner->back, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&owner->back, &chunk->next, chunk, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
}

static void tell_given(struct berth_stock *stock)
{
    if (stock->given_count)
        tell(stock, stock->given, stock->given_count);
    stock->given_count = 0;
}

void berth_stock_give(void *memory, struct berth_chunk *chunk)
{
    if (!chunk) {
        berth_free(memory);
        return;
    }
    struct berth_thread *thread = berth_thread_mine(chunk->set);
    struct berth_stock *stock = thread ? stock_of(thread) : NULL;
    if (!stock) {
        tell(NULL, chunk, 1);
        return;
    }
    if (stock->given != chunk)
        tell_given(stock);
    stock->given = chunk;
    stock->given_count++;
}

void berth_stock_return(struct berth_thread *thread)
{
    struct berth_stock *stock = thread->stock;
    if (stock && stock->given_count && stock->given->owner != stock)
        tell_given(stock);
}

/* ---- taking ---- */

static struct berth_chunk *chunk_new(struct berth_stock *stock)
{
    if (stock->count == MOST)
        return NULL;
    struct berth_chunk *chunk = berth_aligned_alloc(LINE, CHUNK);
    if (!chunk)
        return NULL;
    chunk->set = stock->set;
    chunk->owner = stock;
    chunk->made = stock->made;
    stock->made = chunk;
    stock->count++;
    return chunk;
}

/* The one that is being cut is done with, and another one begun. false: there is none. */
static bool next_chunk(struct berth_stock *stock)
{
    if (stock->chunk)
        tell(stock, stock->chunk, UNKNOWN - stock->cut);
    stock->chunk = NULL;
    stock->at = stock->end = NULL;
    if (!stock->free && __atomic_load_n(&stock->back, __ATOMIC_RELAXED))
        stock->free = __atomic_exchange_n(&stock->back, NULL, __ATOMIC_ACQUIRE);
    struct berth_chunk *chunk = stock->free;
    if (chunk)
        stock->free = chunk->next;
    else if (!(chunk = chunk_new(stock)))
        return false;
    chunk->left = UNKNOWN; /* nobody has a piece */
    stock->chunk = chunk;
    stock->cut = 0;
    stock->at = (char *)(chunk + 1);
    stock->end = (char *)chunk + CHUNK;
    if (stock->free)
        berth_stock_fetch((char *)stock->free, BERTH_STOCK_AHEAD);
    return true;
}

void *berth_stock_take_slowly(struct berth_thread *thread, size_t size,
                              struct berth_chunk **ret_chunk)
{
    struct berth_stock *stock = NULL;
    size_t room = (size + LINE - 1) & ~(size_t)(LINE - 1);
#ifdef HEAP_ONLY
    (void)thread;
#else
    if (thread && size <= BERTH_STOCK_LARGEST)
        stock = stock_of(thread);
#endif
    if (stock && ((size_t)(stock->end - stock->at) >= room || next_chunk(stock))) {
        *ret_chunk = stock->chunk;
        return berth_stock_cut(stock, room);
    }
    *ret_chunk = NULL;
    return berth_malloc(size);
}

/* ---- the end ---- */

/* Chunks of which nobody has a piece go back to the heap. */
static void shrink(struct berth_stock *stock)
{
    struct berth_chunk *back = __atomic_exchange_n(&stock->back, NULL, __ATOMIC_ACQUIRE);
    for (struct berth_chunk *chunk = stock->free; chunk; chunk = chunk->next)
        chunk->left = SPARE;
    for (struct berth_chunk *chunk = back; chunk; chunk = chunk->next)
        chunk->left = SPARE;
    stock->free = NULL;
    for (struct berth_chunk **at = &stock->made, *chunk; (chunk = *at);) {
        if (__atomic_load_n(&chunk->left, __ATOMIC_RELAXED) != SPARE) {
            at = &chunk->made;
            continue;
        }
        *at = chunk->made;
        stock->count--;
        berth_aligned_free(chunk);
    }
}

void berth_stock_leave(struct berth_thread *thread)
{
    if (!thread->stock)
        return;
    tell_given(thread->stock);
    shrink(thread->stock);
    thread->stock->taken = false;
    thread->stock = NULL;
}

void berth_stocks_free(struct berth_threads *set)
{
    while (set->stocks) {
        struct berth_stock *stock = set->stocks;
        set->stocks = stock->next;
        while (stock->made) {
            struct berth_chunk *chunk = stock->made;
            stock->made = chunk->made;
            berth_aligned_free(chunk);
        }
        berth_aligned_free(stock);
    }
}
