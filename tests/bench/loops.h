/* SPDX-License-Identifier: MIT */
/*
 * The loops around a call, the same for the one through a pointer and the one through Berth. Each
 * returns nanoseconds. CALL(a, b) is an expression of type double.
 */
#ifndef BERTH_TESTS_BENCH_LOOPS_H
#define BERTH_TESTS_BENCH_LOOPS_H

#include <stdint.h>
#include <time.h>

static inline double bench_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* So that no loop is thrown away. */
static volatile double bench_sink;

/* About 30 ns in one chain of dependent steps, which the compiler cannot shorten. */
static inline uint64_t bench_work(uint64_t value)
{
    for (int i = 0; i < 11; i++) {
        value = (value ^ value >> 29) * 0x9e3779b97f4a7c15u;
        value = (value ^ value >> 32) * 0xff51afd7ed558ccdu;
        __asm__("" : "+r"(value));
    }
    return value;
}

/* Each call needs the result of the one before. */
#define BENCH_TIGHT(CALL)                             \
    double bench_x = 0, bench_t = bench_clock();      \
    for (int64_t bench_i = 0; bench_i < n; bench_i++) \
        bench_x = CALL(bench_x, 1.0);                 \
    bench_t = bench_clock() - bench_t;                \
    bench_sink = bench_x;                             \
    return bench_t

/* The work needs the call's result, and the next call the work's. */
#define BENCH_WORK(CALL)                                   \
    double bench_x = 0, bench_t = bench_clock();           \
    uint64_t bench_w = 1;                                  \
    for (int64_t bench_i = 0; bench_i < n; bench_i++) {    \
        bench_w = bench_work(bench_w + (uint64_t)bench_x); \
        bench_x = CALL((double)(int)(bench_w & 1), 1.0);   \
    }                                                      \
    bench_t = bench_clock() - bench_t;                     \
    bench_sink = bench_x;                                  \
    return bench_t

/* An address that dlsym gave, as a program would keep it: read from memory for each call. */
#define BENCH_POINTER(slot) (*__atomic_load_n(&(slot), __ATOMIC_ACQUIRE))

#endif
