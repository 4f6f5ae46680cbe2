/* SPDX-License-Identifier: MIT */
#include <berth/module.h>

BERTH_MODULE("bench_answerer", "1.0.0", "Answers what asker.c asks.");

BERTH_EXPORT(i64, answer, "The same.", (i64, n))
{
    return n;
}
