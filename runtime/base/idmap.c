/* SPDX-License-Identifier: MIT */
#include "runtime/base/idmap.h"

#include "runtime/base/memory.h"

#define CAPACITY_MIN 16U

struct berth_idmap_slot {
    void *value;         /* NULL: free */
    uint32_t generation; /* of its present or next id; never 0 */
    uint32_t next_free;  /* number + 1 */
};

static uint64_t id_of(const struct berth_idmap *map, uint32_t number)
{
    return (uint64_t)map->slots[number].generation << 32 | number;
}

static struct berth_idmap_slot *find(const struct berth_idmap *map, uint64_t id)
{
    uint32_t number = (uint32_t)id;

    if (number >= map->capacity || map->slots[number].generation != id >> 32)
        return NULL;
    return &map->slots[number];
}

void berth_idmap_init(struct berth_idmap *map)
{
    *map = (struct berth_idmap){ .count = 0 };
}

void berth_idmap_deinit(struct berth_idmap *map)
{
    berth_free(map->slots);
    berth_idmap_init(map);
}

static int grow(struct berth_idmap *map)
{
    if (map->capacity > UINT32_MAX / 2)
        return -1;
    uint32_t capacity = map->capacity ? map->capacity * 2 : CAPACITY_MIN;
    struct berth_idmap_slot *slots = berth_reallocarray(map->slots, capacity, sizeof(*slots));
    if (!slots)
        return -1;
    for (uint32_t i = map->capacity; i < capacity; i++)
        slots[i] =
            (struct berth_idmap_slot){ .generation = 1, .next_free = i + 1 < capacity ? i + 2 : 0 };
    map->free_head = map->capacity + 1;
    map->slots = slots;
    map->capacity = capacity;
    return 0;
}

uint64_t berth_idmap_add(struct berth_idmap *map, void *value)
{
    if (map->free_head == 0 && grow(map) < 0)
        return 0;
    uint32_t number = map->free_head - 1;
    map->free_head = map->slots[number].next_free;
    map->slots[number].value = value;
    map->count++;
    return id_of(map, number);
}

void *berth_idmap_get(const struct berth_idmap *map, uint64_t id)
{
    struct berth_idmap_slot *slot = find(map, id);
    return slot ? slot->value : NULL;
}

void *berth_idmap_remove(struct berth_idmap *map, uint64_t id)
{
    struct berth_idmap_slot *slot = find(map, id);
    void *value = slot ? slot->value : NULL;

    if (!value)
        return NULL;
    slot->value = NULL;
    if (++slot->generation == 0)
        slot->generation = 1;
    slot->next_free = map->free_head;
    map->free_head = (uint32_t)id + 1;
    map->count--;
    return value;
}

void *berth_idmap_next(const struct berth_idmap *map, uint32_t *position, uint64_t *ret_id)
{
    while (*position < map->capacity) {
        uint32_t number = (*position)++;
        if (map->slots[number].value) {
            if (ret_id)
                *ret_id = id_of(map, number);
            return map->slots[number].value;
        }
    }
    return NULL;
}
