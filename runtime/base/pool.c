/* SPDX-License-Identifier: MIT */
#include "runtime/base/pool.h"

#include "runtime/base/list.h"
#include "runtime/base/memory.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined __SANITIZE_ADDRESS__
#define HEAP_ONLY 1
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define HEAP_ONLY 1
#endif
#endif
#ifdef HEAP_ONLY

void *berth_pool_alloc(size_t size)
{
    return berth_calloc(1, size);
}

void berth_pool_free(void *memory)
{
    berth_free(memory);
}

#else

#define CHUNK \
    ((size_t)128 << 10) /* begins at a multiple of it: a block's address tells its chunk */
#define UNIT       ((size_t)64)
#define UNITS      (CHUNK / UNIT)
#define WORDS      (UNITS / 64)

struct chunk {
    struct berth_list link;
    size_t taken;         /* units, without those of this head */
    size_t next;          /* behind the newest block: where to look first */
    uint64_t used[WORDS]; /* a bit for each unit that is in a block */
    uint64_t last[WORDS]; /* … that is the last one of a block */
};
#define HEAD_UNITS ((sizeof(struct chunk) + UNIT - 1) / UNIT)
#define ROOM       (UNITS - HEAD_UNITS)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* All of them, so that leak checkers find the blocks; the last one is where to take from. */
static struct berth_list chunks = { &chunks, &chunks };

static bool get_bit(const uint64_t *bits, size_t i)
{
    return bits[i / 64] >> i % 64 & 1;
}

static void flip_bit(uint64_t *bits, size_t i)
{
    bits[i / 64] ^= (uint64_t)1 << i % 64;
}

/* The first of so many free units in a row, or 0. */
static size_t find_row(const struct chunk *chunk, size_t from, size_t units)
{
    size_t row = 0;
    for (size_t i = from; i < UNITS; i++) {
        row = get_bit(chunk->used, i) ? 0 : row + 1;
        if (row == units)
            return i + 1 - units;
    }
    return 0;
}

static void *take(struct chunk *chunk, size_t units)
{
    size_t first = find_row(chunk, chunk->next, units);
    if (!first)
        first = find_row(chunk, HEAD_UNITS, units);
    if (!first)
        return NULL;
    chunk->next = first + units;
    chunk->taken += units;
    for (size_t i = first; i < chunk->next; i++)
        flip_bit(chunk->used, i);
    flip_bit(chunk->last, chunk->next - 1);
    return (char *)chunk + first * UNIT;
}

/* The one that was taken from last, or, when that has no room, one that is half empty. */
static void *take_from_chunks(size_t units)
{
    struct chunk *newest = berth_container(chunks.previous, struct chunk, link);
    void *memory = berth_list_empty(&chunks) ? NULL : take(newest, units);
    if (memory)
        return memory;
    berth_list_each(&chunks, link) {
        struct chunk *chunk = berth_container(link, struct chunk, link);
        if (chunk->taken > ROOM / 2 || !(memory = take(chunk, units)))
            continue;
        berth_list_remove(link);
        berth_list_append(&chunks, link);
        return memory;
    }
    return NULL;
}

/* What is larger than the room of a chunk gets a longer one, and all of its units. */
static void *take_from_new(size_t size, size_t units)
{
    size_t whole = (HEAD_UNITS * UNIT + size + CHUNK - 1) & ~(CHUNK - 1);
    struct chunk *chunk = berth_aligned_alloc(CHUNK, whole);
    if (!chunk)
        return NULL;
    memset(chunk, 0, sizeof *chunk);
    chunk->next = HEAD_UNITS;
    berth_list_append(&chunks, &chunk->link);
    return take(chunk, units);
}

void *berth_pool_alloc(size_t size)
{
    size_t units = size ? (size - 1) / UNIT + 1 : 1;
    if (size > SIZE_MAX / 2)
        return NULL;
    pthread_mutex_lock(&lock);
    void *memory = units <= ROOM ? take_from_chunks(units) : NULL;
    if (!memory)
        memory = take_from_new(size, units <= ROOM ? units : ROOM);
    pthread_mutex_unlock(&lock);
    return memory ? memset(memory, 0, size) : NULL;
}

void berth_pool_free(void *memory)
{
    if (!memory)
        return;
    struct chunk *chunk = (struct chunk *)((uintptr_t)memory & ~(CHUNK - 1));
    size_t i = ((uintptr_t)memory - (uintptr_t)chunk) / UNIT;
    pthread_mutex_lock(&lock);
    for (bool last = false; !last; i++) {
        last = get_bit(chunk->last, i);
        flip_bit(chunk->used, i);
        chunk->taken--;
    }
    flip_bit(chunk->last, i - 1);
    bool empty = chunk->taken == 0, only = chunks.next == chunks.previous;
    if (empty)
        chunk->next = HEAD_UNITS;
    if (empty && !only)
        berth_list_remove(&chunk->link);
    pthread_mutex_unlock(&lock);
    if (empty && !only)
        berth_aligned_free(chunk);
}

#endif
