/* SPDX-License-Identifier: MIT */
/* One of many in a ring: scale_bench.c gives each copy a number, and that of the next one. */
#include <berth/module.h>
#include <semaphore.h>

BERTH_MODULE("hop_aaaa", "1.0.0", "Passes on what comes.");
BERTH_TOPIC("hop_bbbb.in", next, (u64, semaphore), (i64, left));

BERTH_EXPORT(void, start, "A message that passes so many of them; then posts a semaphore.",
             (u64, semaphore), (i64, left))
{
    publish_next(ctx, semaphore, left);
}

static uint64_t count;

static void visit(void)
{
    count++;
}

BERTH_EXPORT(u64, where, "A function without arguments, which counts.")
{
    (void)ctx;
    return (uintptr_t)visit;
}

BERTH_SUBSCRIBE("hop_aaaa.in", on_in, (u64, semaphore), (i64, left))
{
    if (left > 1)
        publish_next(ctx, semaphore, left - 1);
    else
        sem_post((sem_t *)semaphore);
}
