/* SPDX-License-Identifier: MIT */
/*
 * A module of the usual size and shape, to load a thousand of: load_bench.c gives each copy another
 * number in place of the zeros.
 */
#include <berth/module.h>
#include <stdlib.h>
#include <string.h>

BERTH_MODULE("bench_0000", "1.0.0", "Three functions and some state.");

static int64_t count;

BERTH_EXPORT(f64, add, "a + b", (f64, a), (f64, b))
{
    return a + b;
}

BERTH_EXPORT(i64, count, "Adds to a sum.", (i64, n))
{
    return count += n;
}

BERTH_EXPORT(u64, length, "Bytes of a text.", (string, text))
{
    char *copy = strdup(text);
    size_t length = copy ? strlen(copy) : 0;

    free(copy);
    return length;
}
