/* SPDX-License-Identifier: MIT */
/* As math, but one thread at a time. */
#include <berth/module.h>

BERTH_MODULE("bench_serial", "1.0.0", "Arithmetic, one at a time.");

BERTH_EXPORT(f64, add, "a + b", (f64, a), (f64, b))
{
    return a + b;
}

/* For a pointer that changes between this one and the one in math.c. */
__attribute__((visibility("default"))) double bench_plain_add(double a, double b);
double bench_plain_add(double a, double b)
{
    return a + b;
}
