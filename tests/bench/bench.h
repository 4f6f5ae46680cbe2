/* SPDX-License-Identifier: MIT */
/*
 * A small harness for ratios. Each row measures something and its limit, the best that could be
 * had, right before it; all rows take turns, round by round. What a row says is the median over the
 * rounds of value / limit: on a shared machine absolute times drift by more than what is measured,
 * the ratio of two neighbours does not. One row should be the limit against itself: it shows the
 * noise.
 */
#ifndef BERTH_TESTS_BENCH_BENCH_H
#define BERTH_TESTS_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BENCH_ROUNDS_MAX 31
/* Does n operations and returns what they cost together: nanoseconds, or whatever the unit is. */
typedef double (*bench_fn)(void *user, long n);

/* A goal of 0: none at all. */
#define BENCH_ZERO 1e-9

struct bench_row {
    const char *id;      /* for machines: never changes its meaning */
    const char *what;    /* for people */
    const char *unit;    /* "ns" by default; anything else is printed beside the numbers */
    bench_fn limit, run; /* without a limit, goal is about the value */
    void *user;
    double goal;     /* value / limit, or value - limit, at most; 0: only shown */
    bool difference; /* goal is about value - limit */
    bool at_least;   /* … rather than at most */
    bool once;       /* takes long: run in one round only */
    long n;          /* operations a run; 0: as many as take BENCH_RUN_NS */
    bool two_cores;  /* skipped on one */

    const char *skipped; /* why, or NULL: not run */
    char note[64];       /* printed after the row; for run() to fill */
    double limits[BENCH_ROUNDS_MAX], values[BENCH_ROUNDS_MAX]; /* of one operation */
};

/*
 * Runs the rows and prints the table, and with `-o FILE` appends one JSON object per row to FILE.
 * Other arguments: `-r ROUNDS`, `-g` (fail when a goal is missed), and words: only rows with one of
 * them in their id. Returns what main should.
 */
int bench_main(int argc, char **argv, const char *title, struct bench_row *rows, size_t count);

double bench_now(void); /* nanoseconds */
/* The 99th percentile of n values, which are sorted. */
double bench_p99(double *values, long n);
/* Keeps a thread (0: this one) there; BENCH_ANYWHERE: wherever the program may be. */
#define BENCH_ANYWHERE (-1)
void bench_place(pid_t thread, int which);
/* Keeps this thread on the first or second (0, 1) processor that the program may use. */
void bench_pin(unsigned which);
/* Prints to standard error and exits: a benchmark has no use for half of its rows. */
__attribute__((format(printf, 1, 2), noreturn)) void bench_die(const char *format, ...);
/* The path of tests/bench/modules/NAME.so in the build tree. Static until the next call. */
const char *bench_module(const char *name);

#endif
