/* SPDX-License-Identifier: MIT */
/* Starts calls, and takes their answers. */
#include <berth/module.h>
#include <semaphore.h>

BERTH_MODULE("bench_asker", "1.0.0", "Starts calls of another module.");
BERTH_IMPORT_ASYNC(i64, bench_answerer, answer, (i64, n));

static int64_t left;
static sem_t *done;

BERTH_EXPORT(void, wait, "n calls, one after the other, which this thread waits for.", (i64, n))
{
    for (int64_t i = 0; i < n && !berth_failed(ctx); i++)
        bench_answerer_answer_take(ctx, bench_answerer_answer_start(ctx, i));
}

static void on_answer(berth_ctx *ctx, berth_pending answered, void *user)
{
    bench_answerer_answer_take(ctx, answered);
    if (--left > 0)
        berth_call_then(ctx, bench_answerer_answer_start(ctx, left), on_answer, user);
    else
        sem_post(done);
}

BERTH_EXPORT(void, ask, "n calls, each when the one before is answered; then posts a semaphore.",
             (u64, semaphore), (i64, n))
{
    done = (sem_t *)semaphore;
    left = n;
    berth_call_then(ctx, bench_answerer_answer_start(ctx, n), on_answer, NULL);
}
