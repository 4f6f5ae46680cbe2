/* SPDX-License-Identifier: MIT */
/* Times in texts, without the locale. What is negative counts as 0. */
#ifndef RUNTIME_BASE_TIME_H
#define RUNTIME_BASE_TIME_H

#include <stdint.h>

/* Longest text that is printed, with its NUL. */
#define BERTH_TIME_MAX 24

/* In nanoseconds. */
#define BERTH_MILLISECOND INT64_C(1000000)
#define BERTH_SECOND      INT64_C(1000000000)

/* As it was measured, in so large units: one decimal, rounded, as "20.0". Returns text. */
const char *berth_time_print(int64_t ns, int64_t unit, char text[BERTH_TIME_MAX]);
/* As it was given, in seconds: exactly, and without more digits than needed, as "0.05". */
const char *berth_time_print_exact(int64_t ns, char text[BERTH_TIME_MAX]);

#endif
