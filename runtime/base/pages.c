/* SPDX-License-Identifier: MIT */
#include "runtime/base/pages.h"

#include "runtime/base/memory.h"

#include <stdint.h>

/* As the processor's own: four levels of nodes, each one page. Nodes stay until the end. */
#define BITS   9
#define LEVELS 4
#define SLOTS  ((size_t)1 << BITS)
#define LIMIT  ((uintptr_t)1 << (LEVELS * BITS)) /* of a page's number */

static uintptr_t number_of(const void *address)
{
    return (uintptr_t)address / BERTH_PAGE;
}

static size_t index_at(uintptr_t number, int level)
{
    return (number >> (level * BITS)) & (SLOTS - 1);
}

void berth_pages_init(struct berth_pages *pages)
{
    pages->root = NULL;
}

static void node_free(void **node, int level)
{
    for (size_t i = 0; level > 0 && i < SLOTS; i++)
        if (node[i])
            node_free(node[i], level - 1);
    berth_free(node);
}

void berth_pages_deinit(struct berth_pages *pages)
{
    if (pages->root)
        node_free(pages->root, LEVELS - 1);
    berth_pages_init(pages);
}

/* The node that *place leads to, made if need be; NULL: no memory. */
static void **node_at(void **place)
{
    void **node = __atomic_load_n(place, __ATOMIC_RELAXED);
    if (!node && (node = berth_calloc(SLOTS, sizeof *node)))
        __atomic_store_n(place, (void *)node, __ATOMIC_RELEASE);
    return node;
}

/* The slot of a page, made if need be; NULL: no memory. */
static void **slot_make(struct berth_pages *pages, uintptr_t number)
{
    void **place = (void **)(void *)&pages->root;
    for (int level = LEVELS - 1; level >= 0; level--) {
        void **node = node_at(place);
        if (!node)
            return NULL;
        place = &node[index_at(number, level)];
    }
    return place;
}

/* The slot of a page; NULL: there has never been anything near it. */
static void **slot_find(const struct berth_pages *pages, uintptr_t number)
{
    void **node = __atomic_load_n(&pages->root, __ATOMIC_ACQUIRE);
    if (number >= LIMIT)
        return NULL;
    for (int level = LEVELS - 1; node && level > 0; level--)
        node = __atomic_load_n(&node[index_at(number, level)], __ATOMIC_ACQUIRE);
    return node ? &node[index_at(number, 0)] : NULL;
}

static void store(struct berth_pages *pages, uintptr_t from, uintptr_t end, void *value)
{
    for (uintptr_t number = from; number < end; number++)
        __atomic_store_n(slot_find(pages, number), value, __ATOMIC_RELEASE);
}

static uintptr_t end_of(const void *memory, size_t size)
{
    return number_of((const char *)memory + size - 1) + 1;
}

bool berth_pages_set(struct berth_pages *pages, const void *memory, size_t size, void *value)
{
    uintptr_t from = number_of(memory), end = size ? end_of(memory, size) : from;
    if (end > LIMIT || end < from)
        return false;
    for (uintptr_t number = from; number < end; number++)
        if (!slot_make(pages, number))
            return false;
    store(pages, from, end, value);
    return true;
}

void berth_pages_clear(struct berth_pages *pages, const void *memory, size_t size)
{
    if (size)
        store(pages, number_of(memory), end_of(memory, size), NULL);
}

void *berth_pages_get(const struct berth_pages *pages, const void *address)
{
    void **slot = slot_find(pages, number_of(address));
    return slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) : NULL;
}
