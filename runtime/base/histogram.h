/* SPDX-License-Identifier: MIT */
/*
 * How long something takes, as counts of spans of time that grow with the time itself: a percentile
 * is right to an eighth of its value, from 16 ns to half an hour. Any number of threads may add
 * and read.
 */
#ifndef RUNTIME_BASE_HISTOGRAM_H
#define RUNTIME_BASE_HISTOGRAM_H

#include <stdint.h>

#define BERTH_HISTOGRAM_BUCKETS 149 /* four in each power of two */

struct berth_histogram { /* zero before use */
    uint64_t buckets[BERTH_HISTOGRAM_BUCKETS];
};

void berth_histogram_add(struct berth_histogram *histogram, int64_t ns);
uint64_t berth_histogram_count(const struct berth_histogram *histogram);
/* The time, in ns, that `parts` of a thousand were not longer than; 0: nothing was added. */
int64_t berth_histogram_quantile(const struct berth_histogram *histogram, unsigned parts);

#endif
