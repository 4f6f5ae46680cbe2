/* SPDX-License-Identifier: MIT */
/*
 * Ids that fail a lookup when they are stale: a slot's number and the generation it had. 0 is never
 * an id. An id is not given again before its slot's 32-bit generation wraps. Not thread-safe.
 */
#ifndef RUNTIME_BASE_IDMAP_H
#define RUNTIME_BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct berth_idmap_slot;
struct berth_idmap {
    struct berth_idmap_slot *slots;
    uint32_t capacity;
    uint32_t free_head; /* number + 1 of the first free slot; 0: none */
    size_t count;
};

void berth_idmap_init(struct berth_idmap *map);
void berth_idmap_deinit(struct berth_idmap *map); /* does not touch the values */
uint64_t berth_idmap_add(struct berth_idmap *map,
                         void *value); /* value not NULL; 0 without memory */
void *berth_idmap_get(const struct berth_idmap *map, uint64_t id); /* NULL: stale or never given */
void *berth_idmap_remove(struct berth_idmap *map, uint64_t id);    /* the value, or NULL */
/*
 * Walks the living ones, in no order: *position starts at 0; NULL at the end. ret_id may be NULL.
 * Removing is fine while walking; one that is added may be seen or not.
 */
void *berth_idmap_next(const struct berth_idmap *map, uint32_t *position, uint64_t *ret_id);

#endif
