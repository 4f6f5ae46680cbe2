/* SPDX-License-Identifier: MIT */
/* The callers: from one shared object into another. `add` is the address of bench_plain_add. */
#include "tests/bench/loops.h"

#include <berth/module.h>

BERTH_MODULE("bench_near", "1.0.0", "Loops around a call.");
BERTH_PARALLEL;
BERTH_REQUIRES("bench_math", "^1.0");
BERTH_REQUIRES("bench_serial", "^1.0");
BERTH_IMPORT(f64, bench_math, add, (f64, a), (f64, b));
BERTH_IMPORT(f64, bench_serial, add, (f64, a), (f64, b));

static double (*slot)(double, double);

#define POINTER(a, b)  BENCH_POINTER(slot)(a, b)
#define PARALLEL(a, b) bench_math_add(ctx, a, b)
#define SERIAL(a, b)   bench_serial_add(ctx, a, b)

BERTH_EXPORT(void, point, "Changes the pointer while a loop runs.", (u64, add))
{
    __atomic_store_n(&slot, (double (*)(double, double))add, __ATOMIC_RELEASE);
}

BERTH_EXPORT(f64, pointer_tight, "The limit.", (u64, add), (i64, n))
{
    slot = (double (*)(double, double))add;
    BENCH_TIGHT(POINTER);
}

BERTH_EXPORT(f64, pointer_work, "The limit, with work.", (u64, add), (i64, n))
{
    slot = (double (*)(double, double))add;
    BENCH_WORK(POINTER);
}

BERTH_EXPORT(f64, parallel_tight, "Bound.", (u64, add), (i64, n))
{
    (void)add;
    BENCH_TIGHT(PARALLEL);
}

BERTH_EXPORT(f64, parallel_work, "Bound, with work.", (u64, add), (i64, n))
{
    (void)add;
    BENCH_WORK(PARALLEL);
}

BERTH_EXPORT(f64, serial_tight, "Bound to a serial module.", (u64, add), (i64, n))
{
    (void)add;
    BENCH_TIGHT(SERIAL);
}
