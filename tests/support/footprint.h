/* SPDX-License-Identifier: MIT */
/* What this process has of all that must not grow. */
#ifndef BERTH_TESTS_SUPPORT_FOOTPRINT_H
#define BERTH_TESTS_SUPPORT_FOOTPRINT_H

#include <stdbool.h>
#include <stddef.h>

struct berth_test_footprint {
    size_t descriptors, memfds, threads, maps, memfd_maps;
    size_t heap; /* bytes of it that are in use, or that a thread keeps for later */
    long rss, anonymous, file, shared; /* KiB in memory: all, and what it is of */
};
struct berth_test_footprint berth_test_footprint(void);

/* What it may have more of by now; under sanitizers and valgrind that is only told. */
struct berth_test_growth {
    bool busy;          /* threads, maps and memory files come and go */
    size_t descriptors; /* when busy */
    long rss;           /* KiB; 0: as may be */
};
void berth_test_check_footprint(const struct berth_test_footprint *before,
                                const struct berth_test_growth *may);

#endif
