/* SPDX-License-Identifier: MIT */
/* What a process does while it has nothing to do. */
#ifndef BERTH_TESTS_BENCH_REST_H
#define BERTH_TESTS_BENCH_REST_H

#include "tests/bench/bench.h"

/* The number behind a name in a file of /proc. */
double rest_number(const char *path, const char *name);

/*
 * Ticks of processor time and voluntary context switches of all its threads but this one, while
 * this one sleeps for so long; counted once it has come to rest. row's note says how many of each.
 */
double rest_watch(pid_t pid, unsigned seconds, struct bench_row *row);

#endif
