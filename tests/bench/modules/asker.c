/* SPDX-License-Identifier: MIT */
/* Starts calls, and takes their answers. */
#include <berth/module.h>

BERTH_MODULE("bench_asker", "1.0.0", "Starts calls of another module.");
BERTH_IMPORT_ASYNC(i64, bench_answerer, answer, (i64, n));

BERTH_EXPORT(void, ask, "n calls, one after the other.", (i64, n))
{
    for (int64_t i = 0; i < n && !berth_failed(ctx); i++)
        bench_answerer_answer_take(ctx, bench_answerer_answer_start(ctx, i));
}
