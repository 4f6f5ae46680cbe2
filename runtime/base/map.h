/* SPDX-License-Identifier: MIT */
/*
 * A hash map from names to pointers, with stable order of insertion for walking. Keys are copied,
 * or, when the map was made so, borrowed from what they lead to.
 * Not thread-safe; several threads may read at once. Hashing is keyed (a random seed per process),
 * so that names from outside cannot be chosen to collide.
 */
#ifndef RUNTIME_BASE_MAP_H
#define RUNTIME_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct berth_map_entry {
    const char *key;
    void *value;
    size_t length; /* of the key */
    uint64_t hash;
};
struct berth_map {
    struct berth_map_entry *entries; /* in order of insertion; a removed one has key NULL */
    uint32_t *index;                 /* open addressing: position + 1 in entries */
    size_t count, used;              /* count: living; used: with the removed ones */
    size_t capacity; /* of the index: 0 or a power of two; entries hold half of it */
    bool borrows;
};

void berth_map_init(struct berth_map *map);
void berth_map_init_borrowing(struct berth_map *map); /* keys stay as long as their entries */
void berth_map_deinit(struct berth_map *map);         /* does not touch the values */

void *berth_map_get(const struct berth_map *map, const char *key); /* NULL: none */
/* The same with what is known already; key need not end in NUL. */
void *berth_map_get_hashed(const struct berth_map *map, const char *key, size_t length,
                           uint64_t hash);
/* Any bytes. The same in this process only. */
uint64_t berth_map_hash(const char *key, size_t length);

/* Adds or replaces; value not NULL. false without memory: nothing changed. */
bool berth_map_set(struct berth_map *map, const char *key, void *value);
void *berth_map_remove(struct berth_map *map, const char *key); /* the value, or NULL */

/*
 * for (size_t i = 0; berth_map_next(&map, &i, &entry);) … in order of insertion. Removing is fine
 * while walking, adding is not.
 */
bool berth_map_next(const struct berth_map *map, size_t *position,
                    struct berth_map_entry **ret_entry);

#endif
