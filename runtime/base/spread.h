/* SPDX-License-Identifier: MIT */
/*
 * Things by numbers that somebody else has chosen, some thousands at most: lists, among which a
 * hash spreads them that he does not know. Finding one is a look through a short list.
 */
#ifndef RUNTIME_BASE_SPREAD_H
#define RUNTIME_BASE_SPREAD_H

#include "runtime/base/list.h"
#include "runtime/base/map.h"

#include <stdint.h>
#include <string.h>

#define BERTH_SPREAD 256

struct berth_spread {
    struct berth_list lists[BERTH_SPREAD];
};

static inline void berth_spread_init(struct berth_spread *spread)
{
    for (size_t i = 0; i < BERTH_SPREAD; i++)
        berth_list_init(&spread->lists[i]);
}

/* Where those of that number are, among others. */
static inline struct berth_list *berth_spread_list(struct berth_spread *spread, uint64_t number)
{
    char key[sizeof number];
    memcpy(key, &number, sizeof key);
    return &spread->lists[berth_map_hash(key, sizeof key) % BERTH_SPREAD];
}

#endif
