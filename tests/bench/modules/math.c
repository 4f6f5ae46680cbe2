/* SPDX-License-Identifier: MIT */
/* What is called: parallel, and small enough that only the call is measured. */
#include <berth/module.h>

BERTH_MODULE("bench_math", "1.0.0", "Arithmetic.");
BERTH_PARALLEL;

static const char text[] = "text";

BERTH_EXPORT(f64, add, "a + b", (f64, a), (f64, b))
{
    return a + b;
}

BERTH_EXPORT(string, text, "A constant.", (i64, from))
{
    return text + (from & 1);
}

/* The same for dlsym. */
__attribute__((visibility("default"))) double bench_plain_add(double a, double b);
double bench_plain_add(double a, double b)
{
    return a + b;
}

__attribute__((visibility("default"))) const char *bench_plain_text(int64_t from);
const char *bench_plain_text(int64_t from)
{
    return text + (from & 1);
}
