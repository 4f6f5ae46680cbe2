/* SPDX-License-Identifier: MIT */
#include "runtime/base/map.h"

#include "runtime/base/memory.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define CAPACITY_MIN ((size_t)16)
#define CAPACITY_MAX ((size_t)1 << 32)

/* ---- hashing: SipHash-1-3 ---- */

static uint64_t seed[2];
static bool seeded;

static void make_seed(void)
{
    if (getrandom(seed, sizeof(seed), GRND_INSECURE) != (ssize_t)sizeof(seed)) {
        /* Where the call is filtered: what is hard to know from outside. */
        struct timespec now = { 0 };
        clock_gettime(CLOCK_MONOTONIC, &now);
        seed[0] = (uint64_t)(uintptr_t)&now * UINT64_C(0x9e3779b97f4a7c15);
        seed[1] = (uint64_t)now.tv_nsec * UINT64_C(0xbf58476d1ce4e5b9) ^ (uintptr_t)&seeded;
    }
    __atomic_store_n(&seeded, true, __ATOMIC_RELEASE);
}

static inline uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

struct sip {
    uint64_t a, b, c, d;
};

static inline void sip_round(struct sip *s)
{
    s->a += s->b, s->b = rotate(s->b, 13) ^ s->a, s->a = rotate(s->a, 32);
    s->c += s->d, s->d = rotate(s->d, 16) ^ s->c;
    s->a += s->d, s->d = rotate(s->d, 21) ^ s->a;
    s->c += s->b, s->b = rotate(s->b, 17) ^ s->c, s->c = rotate(s->c, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

uint64_t berth_map_hash(const char *key, size_t length)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (__builtin_expect(!__atomic_load_n(&seeded, __ATOMIC_ACQUIRE), 0))
        pthread_once(&once, make_seed);

    struct sip s = { seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
                     seed[0] ^ UINT64_C(0x6c7967656e657261),
                     seed[1] ^ UINT64_C(0x7465646279746573) };
    const char *end = key + length;
    uint64_t word, last = (uint64_t)length << 56;
    for (; (size_t)(end - key) >= sizeof(word); key += sizeof(word)) {
        memcpy(&word, key, sizeof(word));
        sip_word(&s, word);
    }
    unsigned rest = (unsigned)(end - key);
    if (rest > 0 && length > sizeof(word)) { /* in one load, with bytes that were taken already */
        memcpy(&word, end - sizeof(word), sizeof(word));
        last |= word >> (64 - 8 * rest);
    } else {
        for (unsigned i = 0; i < rest; i++)
            last |= (uint64_t)(unsigned char)key[i] << (8 * i);
    }
    sip_word(&s, last);
    s.c ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

/* ---- the map ---- */

void berth_map_init(struct berth_map *map)
{
    *map = (struct berth_map){ .count = 0 };
}

void berth_map_init_borrowing(struct berth_map *map)
{
    *map = (struct berth_map){ .borrows = true };
}

static void free_key(const struct berth_map *map, const char *key)
{
    if (!map->borrows)
        berth_free((char *)key);
}

void berth_map_deinit(struct berth_map *map)
{
    for (size_t i = 0; i < map->used; i++)
        free_key(map, map->entries[i].key);
    berth_free(map->entries);
    berth_free(map->index);
    berth_map_init(map);
}

/* The index is never full, so each search ends. A removed entry is passed over like another key. */
static struct berth_map_entry *find(const struct berth_map *map, const char *key, size_t length,
                                    uint64_t hash)
{
    if (map->count == 0)
        return NULL;
    for (size_t slot = hash & (map->capacity - 1); map->index[slot] != 0;
         slot = (slot + 1) & (map->capacity - 1)) {
        struct berth_map_entry *entry = &map->entries[map->index[slot] - 1];
        if (entry->hash == hash && entry->length == length && entry->key &&
            memcmp(entry->key, key, length) == 0)
            return entry;
    }
    return NULL;
}

static void enter(struct berth_map *map, uint64_t hash, size_t position)
{
    size_t slot = hash & (map->capacity - 1);
    while (map->index[slot] != 0)
        slot = (slot + 1) & (map->capacity - 1);
    map->index[slot] = (uint32_t)(position + 1);
}

/* Makes room for at least as many again as there are, without the removed ones. */
static bool rebuild(struct berth_map *map)
{
    struct berth_map fresh = { .capacity = CAPACITY_MIN, .borrows = map->borrows };

    while (fresh.capacity / 4 < map->count + 1)
        fresh.capacity *= 2;
    if (fresh.capacity > CAPACITY_MAX)
        return false;
    fresh.entries = berth_malloc(fresh.capacity / 2 * sizeof(*fresh.entries));
    fresh.index = berth_calloc(fresh.capacity, sizeof(*fresh.index));
    if (!fresh.entries || !fresh.index) {
        berth_free(fresh.entries);
        berth_free(fresh.index);
        return false;
    }
    for (size_t i = 0; i < map->used; i++) {
        if (!map->entries[i].key)
            continue;
        enter(&fresh, map->entries[i].hash, fresh.used);
        fresh.entries[fresh.used++] = map->entries[i];
    }
    fresh.count = fresh.used;
    berth_free(map->entries);
    berth_free(map->index);
    *map = fresh;
    return true;
}

void *berth_map_get_hashed(const struct berth_map *map, const char *key, size_t length,
                           uint64_t hash)
{
    struct berth_map_entry *entry = find(map, key, length, hash);
    return entry ? entry->value : NULL;
}

void *berth_map_get(const struct berth_map *map, const char *key)
{
    size_t length = strlen(key);
    return berth_map_get_hashed(map, key, length, berth_map_hash(key, length));
}

bool berth_map_set(struct berth_map *map, const char *key, void *value)
{
    size_t length = strlen(key);
    uint64_t hash = berth_map_hash(key, length);
    struct berth_map_entry *entry = find(map, key, length, hash);

    if (entry) {
        entry->value = value;
        return true;
    }
    const char *kept = map->borrows ? key : berth_strdup(key);
    if (!kept || (map->used == map->capacity / 2 && !rebuild(map))) {
        free_key(map, kept);
        return false;
    }
    enter(map, hash, map->used);
    map->entries[map->used++] =
        (struct berth_map_entry){ .key = kept, .value = value, .length = length, .hash = hash };
    map->count++;
    return true;
}

void *berth_map_remove(struct berth_map *map, const char *key)
{
    size_t length = strlen(key);
    struct berth_map_entry *entry = find(map, key, length, berth_map_hash(key, length));

    if (!entry)
        return NULL;
    free_key(map, entry->key);
    entry->key = NULL;
    map->count--;
    return entry->value;
}

bool berth_map_next(const struct berth_map *map, size_t *position,
                    struct berth_map_entry **ret_entry)
{
    while (*position < map->used) {
        struct berth_map_entry *entry = &map->entries[(*position)++];
        if (entry->key) {
            *ret_entry = entry;
            return true;
        }
    }
    return false;
}
