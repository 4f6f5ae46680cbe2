/* SPDX-License-Identifier: MIT */
#include "runtime/base/histogram.h"

#include <stddef.h>

#define FIRST 4 /* the first power of two that has buckets of its own: 16 ns */

static size_t bucket_of(int64_t ns)
{
    if (ns < 1 << FIRST)
        return 0;
    unsigned power = 63 - (unsigned)__builtin_clzll((uint64_t)ns);
    size_t bucket = 1 + (size_t)(power - FIRST) * 4 + (((uint64_t)ns >> (power - 2)) & 3);
    return bucket < BERTH_HISTOGRAM_BUCKETS ? bucket : BERTH_HISTOGRAM_BUCKETS - 1;
}

/* The middle of what a bucket holds. */
static int64_t time_of(size_t bucket)
{
    if (bucket == 0)
        return 1 << (FIRST - 1);
    unsigned power = FIRST + (unsigned)(bucket - 1) / 4;
    int64_t quarter = (int64_t)1 << (power - 2);
    return (4 + (int64_t)(bucket - 1) % 4) * quarter + quarter / 2;
}

void berth_histogram_add(struct berth_histogram *histogram, int64_t ns)
{
    __atomic_fetch_add(&histogram->buckets[bucket_of(ns)], 1, __ATOMIC_RELAXED);
}

uint64_t berth_histogram_count(const struct berth_histogram *histogram)
{
    uint64_t count = 0;
    for (size_t i = 0; i < BERTH_HISTOGRAM_BUCKETS; i++)
        count += __atomic_load_n(&histogram->buckets[i], __ATOMIC_RELAXED);
    return count;
}

int64_t berth_histogram_quantile(const struct berth_histogram *histogram, unsigned parts)
{
    uint64_t count = berth_histogram_count(histogram), seen = 0;
    for (size_t i = 0; i < BERTH_HISTOGRAM_BUCKETS && count > 0; i++) {
        seen += __atomic_load_n(&histogram->buckets[i], __ATOMIC_RELAXED);
        if (seen * 1000 >= count * parts && seen > 0)
            return time_of(i);
    }
    return 0;
}
